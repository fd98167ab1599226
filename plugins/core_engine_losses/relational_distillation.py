"""Distillation of how far the rows of a batch are from one another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core_engine import Batch
from core_engine_losses.numerics import EPS, at_least_float32
from core_engine_losses.pairwise import without_diagonal
from core_engine_losses.reference import embeddings_by


class RelationalDistance:
    """Huber loss between the distances among outputs and those among the teacher's embeddings, each over their mean.

    ``L = mean_{i != j} huber(d(o_i, o_j) - d(t_i, t_j))``, ``d(x, y) = |x - y| / max(mean distance, EPS)``,
    ``huber(e) = e^2 / 2`` where ``|e| < 1``, else ``|e| - 1/2``. RKD-D (Park et al., 2019). No unit: the scale of
    neither side counts, nor does any rotation or shift of it.

    ``teacher``: a further teacher whose embeddings give ``t``, of any dimension; None for the target. A batch of one
    row has a loss of 0, and two distinct rows are always as far apart as they should be.

    output ``[B, D]``, embeddings of the teacher ``[B, D_k]``; computed in float32, or float64 where they are, outside
    autocast. Returns a scalar of that dtype.
    """

    def __init__(self, teacher: str | None) -> None:
        self._teacher = teacher

    def __call__(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        return self.rows(output, target, batch).mean()

    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        """The loss of each row, ``[B]``: the mean over its pairs."""
        teacher = embeddings_by(self._teacher, target, batch)
        with torch.autocast(output.device.type, enabled=False):
            error = F.huber_loss(_relative_distances(output), _relative_distances(teacher), reduction="none")
        return error.sum(-1) / max(1, len(output) - 1)


def _relative_distances(embeddings: Tensor) -> Tensor:
    """Each row's distances to the others in units of the mean over all: ``[B, D] -> [B, B - 1]``."""
    rows = at_least_float32(embeddings)
    # By products of rows, near ones would lose their distance to rounding.
    distances = without_diagonal(torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist"))
    mean = distances.sum() / max(1, distances.numel())
    return distances / mean.clamp_min(EPS)
