"""Cosine loss and mean squared error together."""

from __future__ import annotations

from torch import Tensor

from core_engine import Batch
from core_engine_losses.cosine import CosineLoss
from core_engine_losses.mse import MeanSquaredErrorLoss
from core_engine_losses.rows import RowLoss


class CombinedLoss(RowLoss):
    """``L = cosine_weight * cosine + mse_weight * mse``, with both terms as parts, unweighted.

    For terms, units and dtypes see :class:`~core_engine_losses.cosine.CosineLoss` and
    :class:`~core_engine_losses.mse.MeanSquaredErrorLoss`.
    """

    def __init__(self, cosine_weight: float, mse_weight: float) -> None:
        super().__init__()
        self.cosine_weight, self.mse_weight = cosine_weight, mse_weight
        self.cosine, self.mse = CosineLoss(), MeanSquaredErrorLoss()

    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        direction = self.cosine.rows(output, target, batch)
        return self.cosine_weight * direction + self.mse_weight * self.mse.rows(output, target, batch)

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:  # type: ignore[override]
        direction, distance = self.cosine(output, target, batch), self.mse(output, target, batch)
        total = self.cosine_weight * direction + self.mse_weight * distance
        return total, {"cosine": direction.detach(), "mse": distance.detach()}
