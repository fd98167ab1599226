"""Carries what belongs to the cells of a lattice over to a larger one."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def grow_cells(values: Tensor, size: tuple[int, int, int], new_cells: Literal["zero", "nearest"]) -> Tensor:
    """``[x, y, z, ...] -> [X, Y, Z, ...]``: the old cells are those with the lowest coordinates.

    The new ones get zeros, or a copy of the old cell that is nearest to them. ValueError where an axis would shrink.
    """
    old = values.shape[:3]
    if any(after < before for before, after in zip(old, size, strict=True)):
        raise ValueError(f"a lattice of {list(old)} cells cannot be carried over to a smaller one, of {list(size)}")
    if new_cells == "zero":
        grown = values.new_zeros(*size, *values.shape[3:])
        grown[: old[0], : old[1], : old[2]] = values
        return grown
    grown = values
    for axis, (before, after) in enumerate(zip(old, size, strict=True)):
        nearest = torch.arange(after, device=values.device).clamp(max=before - 1)
        grown = grown.index_select(axis, nearest)
    return grown
