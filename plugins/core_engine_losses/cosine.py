"""Cosine loss."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from core_engine import Batch
from core_engine_losses.numerics import EPS, at_least_float32
from core_engine_losses.rows import RowLoss


class CosineLoss(RowLoss):
    """One minus the cosine between output and target, mean over rows.

    ``L = mean_i (1 - o_i . t_i / (max(|o_i|, EPS) max(|t_i|, EPS)))``

    The cosine term of DistilBERT's distillation (Sanh et al., 2019), applied to embeddings. No unit: 0 for the same
    direction, 1 for orthogonal or zero rows, 2 for opposite ones; lengths do not count.

    output, target ``[B, D]``; computed in float32, or float64 where they are. Returns a scalar of that dtype.
    """

    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        return 1 - F.cosine_similarity(at_least_float32(output), at_least_float32(target), dim=-1, eps=EPS)
