"""Mean squared error."""

from __future__ import annotations

from torch import Tensor

from core_engine import Batch
from core_engine_losses.numerics import at_least_float32
from core_engine_losses.rows import RowLoss


class MeanSquaredErrorLoss(RowLoss):
    """Squared difference, mean over rows and dimensions, as is the custom.

    ``L = sum_id (o_id - t_id)^2 / (B D)``

    The loss of embedding distillation (Reimers & Gurevych, 2020). In the squared unit of the embeddings. Rows of unit
    length have a squared distance of ``2 (1 - cos)``, so their loss is ``2 / D`` times the cosine loss: 0.0026 where
    that is 0.5 and D is 384.

    output, target ``[B, D]``; computed in float32, or float64 where they are. Returns a scalar of that dtype.
    """

    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        return (at_least_float32(output) - at_least_float32(target)).square().mean(dim=-1)
