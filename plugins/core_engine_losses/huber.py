"""Huber loss."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from core_engine import Batch
from core_engine_losses.numerics import at_least_float32
from core_engine_losses.rows import RowLoss


class HuberLoss(RowLoss):
    """Squared difference up to ``delta`` and linear beyond, mean over rows and dimensions.

    ``L = mean_id h(o_id - t_id)``, ``h(x) = x^2 / 2`` where ``|x| <= delta``, else ``delta (|x| - delta / 2)``

    Huber (1964). In the squared unit of the embeddings; ``delta`` is in their own. A dimension of an embedding of unit
    length is about ``1 / sqrt(D)`` in size: 0.05 where D is 384, so that a delta of 1 makes it half the squared error.

    output, target ``[B, D]``; computed in float32, or float64 where they are. Returns a scalar of that dtype.
    """

    def __init__(self, delta: float) -> None:
        super().__init__()
        self.delta = delta

    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        loss = F.huber_loss(at_least_float32(output), at_least_float32(target), reduction="none", delta=self.delta)
        return loss.mean(dim=-1)
