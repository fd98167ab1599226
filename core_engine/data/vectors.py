"""From what stands in rows, texts or ready embeddings, to tables of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from core_engine.contracts.data import Example
from core_engine.errors import DataError
from core_engine.memory.tables import blocks, new_table, take

Embed = Callable[[Sequence[str]], Tensor]


class Vectors:
    """Called with the inputs or targets of rows, gives float32 ``[n, D]``.

    Every distinct text of ``parts`` is embedded once, here. DataError where there are texts and no ``embed``.
    """

    def __init__(self, parts: Iterable[Sequence[Example]], embed: Embed | None) -> None:
        texts = distinct_texts(parts)
        self._number = {text: i for i, text in enumerate(texts)}
        if texts and embed is None:
            raise DataError("the data are texts and no teacher is given; name one under 'teacher'")
        self._rows = embed(texts) if texts and embed is not None else torch.empty(0, 0)

    def __call__(self, values: Sequence[object]) -> Tensor:
        if self._number:
            return take(self._rows, torch.tensor([self._number[str(value)] for value in values], dtype=torch.int64))
        table = new_table(len(values), len(np.atleast_1d(np.asarray(values[0]))))
        for rows in blocks(table):
            table[rows] = torch.from_numpy(np.stack([np.asarray(value, np.float32) for value in values[rows]]))
        return table


def distinct_texts(parts: Iterable[Sequence[Example]]) -> list[str]:
    """Of inputs and targets, in order of first appearance."""
    values = [value for rows in parts for row in rows for value in (row.input, row.target)]
    return list(dict.fromkeys(value for value in values if isinstance(value, str)))
