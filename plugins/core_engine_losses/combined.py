"""Cosine loss and mean squared error together."""

from __future__ import annotations

from torch import Tensor

from core_engine import Batch, Loss
from core_engine_losses.cosine import cosine
from core_engine_losses.mse import mse


def combined(cosine_weight: float, mse_weight: float) -> Loss:
    """``L = cosine_weight * cosine + mse_weight * mse``, with both terms as parts, unweighted.

    For terms, units and dtypes see :func:`~core_engine_losses.cosine.cosine` and :func:`~core_engine_losses.mse.mse`.
    """

    def loss(output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        direction = cosine(output, target, batch)
        distance = mse(output, target, batch)
        total = cosine_weight * direction + mse_weight * distance
        return total, {"cosine": direction.detach(), "mse": distance.detach()}

    return loss
