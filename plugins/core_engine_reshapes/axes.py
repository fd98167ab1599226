"""Orthonormal axes: random ones, and the principal ones of data. All computed in float64 on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

#: Rows at a time, where there are many.
ROWS = 8192


def random_axes(rows: int, dim: int, source: torch.Generator) -> Tensor:
    """``[rows, dim]`` with orthonormal rows, or orthonormal columns where there are more rows than columns.

    The QR decomposition of a Gaussian matrix, signs fixed so that it is uniform over all rotations (Mezzadri, 2007).
    """
    gaussian = torch.randn(max(rows, dim), min(rows, dim), generator=source, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    axes: Tensor = q * r.diagonal().sign()
    return axes if rows >= dim else axes.T


def principal_axes(data: Tensor, rows: int) -> Tensor:
    """``[rows, D]``: directions of largest mean square of ``data [n, D]`` first; rows after the D-th are zero.

    Each axis points so that its entry of largest size is positive, so one set of data has one result.
    """
    dim = data.shape[1]
    squares = torch.zeros(dim, dim, dtype=torch.float64)
    for block in data.split(ROWS):
        block = block.detach().cpu().double()
        squares += block.T @ block
    axes = torch.linalg.eigh(squares).eigenvectors.T.flip(0)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * largest.sign()
    result = torch.zeros(rows, dim, dtype=torch.float64)
    result[: min(rows, dim)] = axes[:rows]
    return result
