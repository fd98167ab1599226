"""Losses that are a mean over rows."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from core_engine import Batch


class RowLoss(nn.Module):
    """``L = mean_i l_i``; ``rows`` gives the l_i, for losses that weigh rows."""

    @abstractmethod
    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        """``[B]``, in float32, or float64 where output and target are."""

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        """Scalar: the mean over rows."""
        return self.rows(output, target, batch).mean()
