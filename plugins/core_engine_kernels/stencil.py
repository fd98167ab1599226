"""The stencil cell's options: data that says which cell it is, for every implementation of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, lt

from core_engine import KernelContext

if TYPE_CHECKING:
    from core_engine_kernels.stencil_cell import StencilCell


@frozen
class Stencil:
    """Cell with one hidden layer over itself, its six neighbours and its drive; residual or gated update."""

    #: Width of the hidden layer.
    hidden: int = field(default=64, validator=ge(1))
    #: ``gelu`` is the exact one; ``gelu_tanh`` differs from it by up to 5e-4.
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu"
    #: ``gated`` scales each channel's update by a learned gate between 0 and 1.
    update: Literal["residual", "gated"] = "residual"
    #: What cells at the faces see outside: zeros, or the opposite face.
    boundary: Literal["zero", "periodic"] = "zero"
    #: A learned bias of the hidden layer for each cell, so that cells can do different things.
    position: bool = True
    #: Standard deviation of the Gaussian noise added to every channel before each step, in evaluation too. The
    #: embeddings' own root mean square is 1 on the lattice.
    state_noise: float = field(default=0.0, validator=and_(ge(0.0), lt(math.inf)))

    def build(self, context: KernelContext) -> StencilCell:
        from core_engine_kernels.stencil_cell import StencilCell

        return StencilCell(self, context)
