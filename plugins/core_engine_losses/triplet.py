"""Triplet loss."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from core_engine import Batch, Scheduled, value_at
from core_engine_losses.numerics import EPS, at_least_float32
from core_engine_losses.rows import RowLoss

Distance = Literal["cosine", "euclidean"]
InBatch = Literal["hardest", "all"]


class TripletLoss(RowLoss):
    """The output nearer to its target than to wrong ones, by a margin.

    ``l_i = mean over k in K_i of max(0, d(o_i, t_i) - d(o_i, n_k) + margin)``

    ``d`` is one minus the cosine, or the Euclidean distance. The wrong targets ``n_k`` of a row are those that a
    ``negatives`` component found for it; without one, those of the batch whose target ids differ from the row's: the
    nearest alone (``hardest``: batch-hard, Hermans et al., 2017) or each (``all``). A row without any has a loss and a
    gradient of exactly 0. Weinberger & Saul (2009), Schroff et al. (2015).

    In the unit of the distance: cosine distances run from 0 to 2, Euclidean ones have the embeddings' unit; between
    equal rows they are 0 and have no gradient. A mined target that equals the row's own in every dimension is no
    negative.

    output, target ``[B, D]``; computed in float32, or float64 where they are, outside autocast.
    """

    def __init__(self, distance: Distance, margin: Scheduled, in_batch: InBatch) -> None:
        super().__init__()
        self.distance, self.margin, self.in_batch = distance, margin, in_batch

    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        output, target = at_least_float32(output), at_least_float32(target)
        with torch.autocast(output.device.type, enabled=False):
            positive = self._distances(output[:, None], target[:, None]).flatten(1)
            wrong, holds = self._wrong(output, target, batch)
            violation = (positive - wrong + value_at(self.margin, batch.progress)).clamp_min(0)
            # Where nothing holds, what is summed is zeros.
            return violation.masked_fill(~holds, 0).sum(-1) / holds.sum(-1).clamp_min(1)

    def _wrong(self, output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Distances ``[B, K]`` to wrong targets, and which of them are there."""
        if batch.negatives is not None and batch.negative_mask is not None:
            negatives = at_least_float32(batch.negatives)
            holds = batch.negative_mask & (negatives != target[:, None]).any(-1)
            return self._distances(output[:, None], negatives).squeeze(1), holds
        holds = batch.target_ids[:, None] != batch.target_ids
        distances = self._distances(output, target)
        if self.in_batch == "all":
            return distances, holds
        nearest = distances.detach().masked_fill(~holds, torch.inf).argmin(dim=1, keepdim=True)
        return distances.gather(1, nearest), holds.gather(1, nearest)

    def _distances(self, a: Tensor, b: Tensor) -> Tensor:
        """``[..., P, D]`` and ``[..., R, D] -> [..., P, R]``, without all differences in memory at once."""
        if self.distance == "cosine":
            return 1 - F.normalize(a, dim=-1, eps=EPS) @ F.normalize(b, dim=-1, eps=EPS).mT
        # By products of rows, near ones would lose their distance to rounding.
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
