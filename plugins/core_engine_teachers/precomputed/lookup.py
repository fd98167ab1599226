"""A teacher that has computed everything already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from core_engine_data import Texts
from core_engine_data.files import opened
from torch import Tensor

from core_engine import DataSourceContext
from core_engine.errors import DataError, TeacherError
from core_engine_teachers.precomputed.config import Precomputed
from core_engine_teachers.precomputed.embedding_file import embedding_matrix

#: Raise it when the code of this package gives other embeddings than before from the same files and options.
VERSION = 1


class Lookup:
    """Rows of a memory-mapped matrix, found by their text, as a frozen Teacher.

    The texts are read at the first ``encode``. Raises TeacherError wherever the files cannot be used.
    """

    def __init__(self, options: Precomputed) -> None:
        self._options = options
        self._matrix = embedding_matrix(options.embeddings)
        self.dim = self._matrix.shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """sha256, in hex, of both files' bytes and the option that matters."""
        options = self._options
        identity = {
            "precomputed": VERSION,
            "texts": _digest(options.texts),
            "embeddings": _digest(options.embeddings),
            "normalize": options.normalize,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> Tensor:
        """float32 ``[len(texts), dim]`` on the CPU, in the order of ``texts``; ``[0, dim]`` for no texts."""
        if isinstance(texts, str):
            raise TypeError("texts must be a sequence of texts, not one text")
        if absent := [text for text in texts if text not in self._numbers]:
            raise TeacherError(
                f"{len(absent)} of {len(texts)} texts are not in {self._options.texts}; the first: {absent[0][:80]!r}. "
                f"Add them there and their rows to {self._options.embeddings}; a text must be the same to the character"
            )
        embeddings = torch.empty(len(texts), self.dim)
        for position, text in enumerate(texts):
            embeddings[position] = torch.from_numpy(self._row(self._numbers[text]))
        return F.normalize(embeddings.double(), dim=-1).float() if self._options.normalize else embeddings

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Text to row."""
        try:
            rows = Texts(self._options.texts).build(DataSourceContext(seed=0)).read()
            texts = [str(row.input) for row in rows]
        except DataError as error:
            raise TeacherError(str(error)) from error
        if len(texts) != self._matrix.rows:
            raise TeacherError(
                f"{self._matrix.name}: {self._matrix.rows} rows, but {len(texts)} texts in {self._options.texts}; row "
                f"i must be the embedding of text i, blank lines not counted"
            )
        numbers: dict[str, int] = {}
        for number, text in enumerate(texts):
            earlier = numbers.setdefault(text, number)
            if earlier != number and not np.array_equal(self._row(earlier), self._row(number)):
                raise TeacherError(
                    f"{self._options.texts}: text {text[:80]!r} stands there twice, with different rows {earlier} and "
                    f"{number} (counted from 0) in {self._matrix.name}; remove one"
                )
        return numbers

    def _row(self, number: int) -> np.ndarray[Any, Any]:
        """float32 ``[dim]``, finite and not all zeros."""
        try:
            row: np.ndarray[Any, Any] = self._matrix.finite(number, number + 1)[0].astype(np.float32)
        except DataError as error:
            raise TeacherError(str(error)) from error
        if not row.any():
            raise TeacherError(
                f"{self._matrix.name}: row {number} (counted from 0) is all zeros, which is no embedding; compute it "
                f"again, or remove it and its text"
            )
        return row


def _digest(path: Path) -> str:
    try:
        with opened(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except DataError as error:
        raise TeacherError(str(error)) from error
