"""What training leaves out of a step of the stencil cell: values of the hidden layer, and whole cells.

Both are decided by one draw of :func:`core_engine.core.noise.uniform`, keyed by (seed, sample, step, element), whose
stream is another than that of the state's noise. In a lattice of N cells with a hidden layer of H, its element n is
cell n's, and its element N + n H + h that of value h in the hidden layer of cell n. Each decision thus has an element
of its own, the same one whether or not the other kind is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from core_engine.core.noise import uniform
from core_engine_kernels.stencil.spec import CellSpec


def masks(
    spec: CellSpec, shape: Sequence[int], seed: int, sample_ids: Tensor, step: int, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """Which cells update, bool ``[B, X, Y, Z, 1]``, and which values of the hidden layer stay, bool
    ``[B, X, Y, Z, H]``; None where all do. ``shape``: of the state, ``[B, X, Y, Z, C]``.
    """
    if not spec.random_in_training:
        return None, None
    batch, *size = shape[:4]
    cells = math.prod(size)
    elements = cells * (1 + spec.hidden) if spec.dropout else cells
    draws = uniform((batch, elements), seed, sample_ids, step, device)
    updates = stays = None
    if spec.update_probability < 1:
        updates = (draws[:, :cells] < spec.update_probability).view(batch, *size, 1)
    if spec.dropout:
        stays = (draws[:, cells:] >= spec.dropout).view(batch, *size, spec.hidden)
    return updates, stays
