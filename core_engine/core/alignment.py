"""The rotation that brings one set of rows nearest to another."""

from __future__ import annotations

import torch
from torch import Tensor

from core_engine.memory.tables import cross_products


def rotation(
    inputs: Tensor, targets: Tensor, input_mean: Tensor | None = None, target_mean: Tensor | None = None
) -> Tensor:
    """``R = U Vᵀ`` where ``XᵀY = U S Vᵀ``, float64 ``[D_in, D_out]``: of all maps with orthonormal rows, or columns
    where there are more rows, the one whose ``X R`` has the largest inner product with Y; between equal dimensions the
    nearest rotation or reflection in least squares (Schönemann, "A generalized solution of the orthogonal Procrustes
    problem", 1966). Where ``XᵀY`` has a lower rank than both sides have dimensions there are several, and the solver's
    choice is taken.

    X ``[n, D_in]`` and Y ``[n, D_out]`` are ``inputs`` and ``targets``, less their means where those are given.
    """
    cross = cross_products(inputs, targets, input_mean, target_mean)
    left, _, right = torch.linalg.svd(cross, full_matrices=False)
    result: Tensor = left @ right
    return result
