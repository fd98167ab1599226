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

    In the unit of the distance: cosine distances run from 0 to 2, Euclidean ones have the embeddings' unit. Equal
    rows have a Euclidean distance of EPS, whose gradient is 0.

    output, target ``[B, D]``; computed in float32, or float64 where they are, outside autocast.
    """

    def __init__(self, distance: Distance, margin: Scheduled, in_batch: InBatch) -> None:
        super().__init__()
        self.distance, self.margin, self.in_batch = distance, margin, in_batch

    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        output, target = at_least_float32(output), at_least_float32(target)
        with torch.autocast(output.device.type, enabled=False):
            if self.distance == "cosine":
                output, target = F.normalize(output, dim=-1, eps=EPS), F.normalize(target, dim=-1, eps=EPS)
            positive = self._distance(output, target)[:, None]
            wrong, holds = self._wrong(output, target, batch)
            violation = (positive - wrong + value_at(self.margin, batch.progress)).clamp_min(0)
            # Where nothing holds, what is summed is zeros.
            return violation.masked_fill(~holds, 0).sum(-1) / holds.sum(-1).clamp_min(1)

    def _wrong(self, output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Distances ``[B, K]`` to wrong targets, and which of them are there."""
        if batch.negatives is not None and batch.negative_mask is not None:
            negatives = at_least_float32(batch.negatives)
            if self.distance == "cosine":
                negatives = F.normalize(negatives, dim=-1, eps=EPS)
            return self._distance(output[:, None], negatives), batch.negative_mask
        holds = batch.target_ids[:, None] != batch.target_ids
        distances = self._distance(output[:, None], target[None])
        if self.in_batch == "all":
            return distances, holds
        nearest = distances.detach().masked_fill(~holds, torch.inf).argmin(dim=1, keepdim=True)
        return distances.gather(1, nearest), holds.gather(1, nearest)

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Of rows, which are of unit length for the cosine."""
        if self.distance == "cosine":
            return 1 - (a * b).sum(-1)
        # The root's slope has no bound at 0.
        return (a - b).square().sum(-1).clamp_min(EPS**2).sqrt()
