"""Rows by their difficulty."""

from __future__ import annotations

import torch
from torch import Tensor

from core_engine import Epoch
from core_engine.errors import TrainingError


def easiest_first(epoch: Epoch, sampler: str) -> tuple[Tensor, Tensor]:
    """Row numbers by difficulty, int64 ``[rows]``, and those difficulties. TrainingError where there are none."""
    if epoch.difficulty is None:
        raise TrainingError(
            f"sampler {sampler}: rows have no difficulty; give them one by data: {{difficulty: {{type: similarity}}}}"
        )
    order = epoch.difficulty.argsort(stable=True)
    return order, epoch.difficulty[order]


def in_use(difficulty: Tensor, share: float) -> int:
    """How many of the rows, easiest first, are no harder than ``share``; those of the easiest level always are."""
    bound = max(share, float(difficulty[0]))
    # Difficulties are float32: a share that stands for one of them must not fall short of it by a rounding.
    return int(torch.searchsorted(difficulty, bound + 1e-6, right=True))
