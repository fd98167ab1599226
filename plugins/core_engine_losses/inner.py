"""A loss inside another one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from core_engine import Batch, Loss


class Inner(nn.Module):
    """A module around any loss, so that its parameters and state are found, and its further methods always there."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """output and target ``[B, D]``; the scalar loss and its named parts."""
        value = self.loss(output, target, batch)
        return value if isinstance(value, tuple) else (value, {})

    def fit(self, target: Tensor, batch: Batch) -> None:
        fit = getattr(self.loss, "fit", None)
        if fit is not None:
            fit(target, batch)

    def validated(self, output: Tensor, target: Tensor, batch: Batch) -> None:
        validated = getattr(self.loss, "validated", None)
        if validated is not None:
            validated(output, target, batch)
