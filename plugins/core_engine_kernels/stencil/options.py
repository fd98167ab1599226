"""The stencil cell's options in a recipe."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import attrs
from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, lt

from core_engine import KernelContext
from core_engine_kernels.stencil.spec import Activation, Boundary, CellSpec, Update

if TYPE_CHECKING:
    from core_engine_kernels.stencil.cell import StencilCell


@frozen
class Stencil:
    """Cell with one hidden layer over itself, its neighbours and its drive; residual or gated update."""

    #: Width of the hidden layer.
    hidden: int = field(default=64, validator=ge(1))
    #: ``gelu`` is the exact one; ``gelu_tanh`` differs from it by up to 5e-4.
    activation: Activation = "gelu"
    #: ``gated`` scales each channel's update by a learned gate between 0 and 1.
    update: Update = "residual"
    #: Cells that a cell sees besides itself: 6 share a face with it, 26 a face, an edge or a corner.
    neighbours: Literal[6, 26] = 6
    #: What cells at the faces see outside: zeros, or the opposite face.
    boundary: Boundary = "zero"
    #: A learned bias of the hidden layer for each cell, so that cells can do different things.
    position: bool = True
    #: Standard deviation of the Gaussian noise added to every channel before each step, in evaluation too. The
    #: embeddings' own root mean square is 1 on the lattice.
    state_noise: float = field(default=0.0, validator=and_(ge(0.0), lt(math.inf)))
    #: In training, each value of the hidden layer is zeroed with this probability in each step, and the others are
    #: scaled up to make up for it (Srivastava et al., 2014).
    dropout: float = field(default=0.0, validator=and_(ge(0.0), lt(1.0)))
    #: In training, each cell updates in a step with this probability, by an update scaled up to make up for it
    #: (Mordvintsev et al., 2020). In evaluation every cell updates.
    update_probability: float = field(default=1.0, validator=and_(gt(0.0), le(1.0)))

    def build(self, context: KernelContext) -> StencilCell:
        from core_engine_kernels.stencil.cell import StencilCell

        options = attrs.asdict(self)
        spec = CellSpec(channels=context.channels, drive_channels=context.drive_channels, **options)
        return StencilCell(spec, size=context.size, seed=context.seed)
