"""What the history of its conversations is worth to a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core_engine.assembly.held_out import HeldOut
from core_engine.errors import DataError
from core_engine.evaluation.history import history_gain
from core_engine.evaluation.metrics import score_rows


def score_history(held_out: HeldOut, by_row: Mapping[str, Tensor]) -> dict[str, Any]:
    """``rows``, how many have a history, and over these :func:`core_engine.evaluation.history.history_gain` of the
    ``core``, and of the ``identity`` where inputs and targets are of one dimension: what the teacher makes of the
    history by itself.

    The questions alone go through the run's teacher. ``by_row``: the core's scores with the histories. DataError where
    no row has one.
    """
    pairs, corpus = held_out.pairs, held_out.corpus
    having = {i: row.without_history for i, row in enumerate(held_out.rows) if row.without_history is not None}
    if not having or held_out.embed is None:
        raise DataError(
            "no row has a history, so there is nothing to take away; conversations have one where the recipe's data "
            "source puts earlier turns before a question (dialogues: context_turns) and its mode is dialogue or mixed"
        )
    rows = torch.tensor(list(having))
    texts = list(dict.fromkeys(having.values()))
    numbers = {text: number for number, text in enumerate(texts)}
    alone = held_out.embed(texts)[[numbers[text] for text in having.values()]]
    inputs = pairs.inputs.index_copy(0, rows, alone)  # each in its place, so that noisy cells draw the same noise
    found = {
        "rows": len(rows),
        "core": history_gain(by_row, score_rows(held_out.trained(inputs), pairs, corpus), rows, pairs.group_ids),
    }
    if inputs.shape == pairs.targets.shape:
        whole, shortened = (score_rows(rows_in, pairs, corpus) for rows_in in (pairs.inputs, inputs))
        found["identity"] = history_gain(whole, shortened, rows, pairs.group_ids)
    return found
