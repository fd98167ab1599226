"""Each row once."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from core_engine import Epoch


@frozen
class ShuffleSampler:
    def order(self, epoch: Epoch) -> Tensor:
        """A permutation of all rows."""
        return torch.randperm(epoch.rows, generator=epoch.generator)
