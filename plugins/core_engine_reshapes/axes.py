"""Orthonormal axes: random ones, and the principal ones of data. All computed in float64 on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from core_engine_reshapes.moments import mean_products


def random_axes(rows: int, dim: int, source: torch.Generator) -> Tensor:
    """``[rows, dim]`` with orthonormal rows, or orthonormal columns where there are more rows than columns.

    The QR decomposition of a Gaussian matrix, signs fixed so that it is uniform over all rotations (Mezzadri, 2007).
    """
    gaussian = torch.randn(max(rows, dim), min(rows, dim), generator=source, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    axes: Tensor = q * r.diagonal().sign()
    return axes if rows >= dim else axes.T


def principal_axes(data: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """``[rows, D]``, ``[rows]``: directions of largest mean square of ``data [n, D]`` first, and that mean square.

    Rows after the D-th are zero. Each axis points so that its entry of largest size is positive, so one set of data has
    one result.
    """
    dim = data.shape[1]
    found = torch.linalg.eigh(mean_products(data))
    axes, squares = found.eigenvectors.T.flip(0), found.eigenvalues.flip(0).clamp(min=0)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * largest.sign()
    result, mean_squares = axes.new_zeros(rows, dim), axes.new_zeros(rows)
    kept = min(rows, dim)
    result[:kept], mean_squares[:kept] = axes[:kept], squares[:kept]
    return result, mean_squares
