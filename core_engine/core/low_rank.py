"""A linear map of low rank."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LowRank(nn.Module):
    """``z -> up down z``: ``[B, D_in] -> [B, D_out]``, through ``rank`` values (Hu et al., 2022, "LoRA").

    ``down [r, D_in]`` is drawn from N(0, 1 / D_in) by ``seed``, ``up [D_out, r]`` is zero, and so is the map, at first.
    """

    def __init__(self, input_dim: int, output_dim: int, rank: int, seed: int) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        self.down = nn.Parameter(torch.randn(rank, input_dim, generator=source) * input_dim**-0.5)
        self.up = nn.Parameter(torch.zeros(output_dim, rank))

    def forward(self, values: Tensor) -> Tensor:
        return F.linear(F.linear(values, self.down), self.up)

    def extra_repr(self) -> str:
        return f"{self.down.shape[1]} -> {len(self.down)} -> {len(self.up)}"
