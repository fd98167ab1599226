"""Maps from a further teacher's space into that of the primary."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from core_engine_losses.numerics import at_least_float32

Method = Literal["ridge", "procrustes"]

_ROWS_AT_ONCE = 8192
#: What a variance or a length is taken for where all rows are one.
_LEAST = 1e-30


class Alignment(nn.Module):
    """``x -> (x - source_mean) @ matrix + target_mean``, fitted once: ``[n, D_k] -> [n, D]``.

    ``ridge``: least squares with a penalty (Hoerl & Kennard, 1970), ``W = (X'X + penalty n v I)^-1 X'Y``, X and Y
    centred, ``v`` the mean variance of X's dimensions, so that the penalty does not depend on the teacher's scale.

    ``procrustes``: ``s R``, ``R = U V'`` where ``X'Y = U S V'`` (Schoenemann, 1966): of all matrices with orthonormal
    rows or columns the one that turns X most into the direction of Y, and ``s = tr(S) / |XR|^2`` the scale with the
    least squared error. It keeps angles where ``D_k <= D``; otherwise it is a projection.

    Fitted in float64 and kept in float32 buffers, whose shapes do not depend on the data. They are NaN before: whoever
    uses an alignment without fitting or loading it gets a loss that is not finite.
    """

    source_mean: Tensor
    target_mean: Tensor
    matrix: Tensor

    def __init__(self, source_dim: int, target_dim: int, method: Method, penalty: float) -> None:
        super().__init__()
        self._method = method
        self._penalty = penalty
        self.register_buffer("source_mean", torch.full((source_dim,), torch.nan))
        self.register_buffer("target_mean", torch.full((target_dim,), torch.nan))
        self.register_buffer("matrix", torch.full((source_dim, target_dim), torch.nan))

    def forward(self, source: Tensor) -> Tensor:
        """``[B, D_k] -> [B, D]``; in float32, or float64 where ``source`` is, outside autocast."""
        source = at_least_float32(source)
        with torch.autocast(source.device.type, enabled=False):
            matrix, mean = self.matrix.to(source.dtype), self.target_mean.to(source.dtype)
            return (source - self.source_mean.to(source.dtype)) @ matrix + mean

    @torch.no_grad()
    def fit(self, source: Tensor, target: Tensor) -> None:
        """``[n, D_k]`` and ``[n, D]``, row by row of the same texts."""
        source_mean, target_mean = (x.mean(0, dtype=torch.float64) for x in (source, target))
        gram = _cross_products(source, source_mean, source, source_mean)
        cross = _cross_products(source, source_mean, target, target_mean)
        matrix = self._ridge(gram, cross) if self._method == "ridge" else _procrustes(gram, cross)
        self.source_mean.copy_(source_mean)
        self.target_mean.copy_(target_mean)
        self.matrix.copy_(matrix)

    def _ridge(self, gram: Tensor, cross: Tensor) -> Tensor:
        strength = (self._penalty * gram.diagonal().mean()).clamp_min(_LEAST)
        penalised = gram + strength * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        matrix: Tensor = torch.linalg.solve(penalised, cross)
        return matrix


def _procrustes(gram: Tensor, cross: Tensor) -> Tensor:
    u, s, v_transposed = torch.linalg.svd(cross, full_matrices=False)
    turned = u @ v_transposed
    matrix: Tensor = turned * (s.sum() / (turned * (gram @ turned)).sum().clamp_min(_LEAST))
    return matrix


def _cross_products(left: Tensor, left_mean: Tensor, right: Tensor, right_mean: Tensor) -> Tensor:
    """``sum_i (left_i - mean)' (right_i - mean)`` in float64, in blocks, so that no float64 copy of the data exists."""
    total = torch.zeros(left.shape[1], right.shape[1], dtype=torch.float64, device=left.device)
    for some_left, some_right in zip(left.split(_ROWS_AT_ONCE), right.split(_ROWS_AT_ONCE), strict=True):
        total += (some_left.double() - left_mean).T @ (some_right.double() - right_mean)
    return total
