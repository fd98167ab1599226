"""Moments of a table, in float64 on the CPU, a block of rows at a time."""

from __future__ import annotations

import torch
from torch import Tensor

#: Rows at a time, where there are many.
ROWS = 8192


def mean_products(data: Tensor, centre: Tensor | None = None) -> Tensor:
    """``[D, D]``: mean over the rows of ``data [n, D]``, less ``centre [D]``, of the products of two dimensions."""
    dim = data.shape[1]
    total = torch.zeros(dim, dim, dtype=torch.float64)
    for block in data.split(ROWS):
        rows = block.detach().cpu().double()
        if centre is not None:
            rows = rows - centre
        total += rows.T @ rows
    return total / len(data)


def covariance(data: Tensor) -> Tensor:
    """``[D, D]``, divided by n. Two passes: what is far from zero loses nothing."""
    total = torch.zeros(data.shape[1], dtype=torch.float64)
    for block in data.split(ROWS):
        total += block.detach().cpu().double().sum(0)
    return mean_products(data, total / len(data))
