"""What a cell of a neural cellular automaton perceives: its state, and how the state changes along each axis.

The derivative along an axis is Sobel's filter in three dimensions: the central difference ``(s(+1) - s(-1)) / 2`` along
the axis, smoothed by ``(s(-1) + 2 s(0) + s(+1)) / 4`` along the two others. Where the state grows by 1 from cell to
cell along an axis, the derivative is 1. Outside the lattice the state is 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def perceive(state: Tensor) -> Tensor:
    """``[B, X, Y, Z, C] -> [B, X, Y, Z, 4 C]``: the state, then its derivatives along x, y and z."""
    smooth_y, smooth_z = _smooth(state, 2), _smooth(state, 3)
    along_x = _difference(_smooth(smooth_z, 2), 1)
    along_y = _difference(_smooth(smooth_z, 1), 2)
    along_z = _difference(_smooth(smooth_y, 1), 3)
    return torch.cat([state, along_x, along_y, along_z], dim=-1)


def _difference(values: Tensor, axis: int) -> Tensor:
    before, after = _neighbours(values, axis)
    return (after - before) * 0.5


def _smooth(values: Tensor, axis: int) -> Tensor:
    before, after = _neighbours(values, axis)
    return (before + after) * 0.25 + values * 0.5


def _neighbours(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Of each cell, the values of the cells before and after it along an axis."""
    length = values.shape[axis]
    around_last_axis = [1 if later == axis else 0 for later in range(values.dim() - 1, 0, -1) for _ in range(2)]
    padded = F.pad(values, around_last_axis)
    return padded.narrow(axis, 0, length), padded.narrow(axis, 2, length)
