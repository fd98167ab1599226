"""Easy rows first, by weight."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from core_engine import Batch, Loss, Pacing
from core_engine.errors import TrainingError

Weighting = Literal["hard", "soft"]

#: Width of the ramp of ``soft``, in shares of the rows.
WIDTH = 0.2


class CurriculumLoss(nn.Module):
    """The mean of another loss over the rows of a batch, weighted by how far the curriculum has come.

    ``L = sum_i w_i l_i / sum_i w_i``, with the row's difficulty d and the share s that ``pacing`` gives::

        hard:  w = 1 where d <= s, else 0                       (self-paced learning: Kumar et al., 2010)
        soft:  w = clamp((s - d) / WIDTH + 1, 0, 1)             (linear soft weighting: Jiang et al., 2014)

    The share is at least the least difficulty above 0 that training has come upon, a buffer ``easiest``: with a few
    coarse levels the easiest one is in use from the start, as in the samplers.

    Bengio et al. (2009). In the unit of the other loss; a batch in which nothing is in use gives exactly 0. Parts:
    ``seen``, the share of the rows with a weight, and ``difficulty``, their mean difficulty (0 where there are none).
    On held-out rows all weights are 1.

    TrainingError in training where rows have no difficulty.
    """

    easiest: Tensor

    def __init__(self, inner: Loss, pacing: Pacing, weighting: Weighting) -> None:
        super().__init__()
        # Registered as a module where it is one, so that its parameters and state are found.
        self.inner = inner
        self.pacing, self.weighting = pacing, weighting
        self.register_buffer("easiest", torch.ones(()))

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        losses: Tensor = self.inner.rows(output, target, batch)  # type: ignore[attr-defined]
        if not self.training:
            return losses.mean(), {}
        if batch.difficulty is None:
            raise TrainingError(
                "loss curriculum: rows have no difficulty; give them one by data: {difficulty: {type: similarity}}"
            )
        weights = self._weights(batch.difficulty, self.pacing.share(batch.progress)).to(losses.dtype)
        seen = (weights > 0).to(losses.dtype)
        loss = (weights * losses).sum() / torch.where(weights.sum() > 0, weights.sum(), 1)
        difficulty = (seen * batch.difficulty).sum() / seen.sum().clamp_min(1)
        return loss, {"seen": seen.mean(), "difficulty": difficulty}

    def fit(self, target: Tensor, batch: Batch) -> None:
        if hasattr(self.inner, "fit"):
            self.inner.fit(target, batch)

    def validated(self, output: Tensor, target: Tensor, batch: Batch) -> None:
        if hasattr(self.inner, "validated"):
            self.inner.validated(output, target, batch)

    @torch.no_grad()
    def _weights(self, difficulty: Tensor, least: float) -> Tensor:
        # A mixed run's further rows have difficulty 0, and are a task of their own.
        self.easiest.copy_(torch.minimum(self.easiest, difficulty.where(difficulty > 0, 1.0).min()))
        share = self.easiest.clamp_min(least)
        # Difficulties are float32: a share that stands for one of them must not fall short of it by a rounding.
        if self.weighting == "hard":
            return (difficulty <= share + 1e-6).to(difficulty.dtype)
        return ((share - difficulty) / WIDTH + 1).clamp(0, 1)
