"""The options of the cell of a neural cellular automaton in a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from attrs import field, frozen
from attrs.validators import and_, ge, gt, le

from core_engine import KernelContext
from core_engine_kernels.nca.spec import NcaSpec

if TYPE_CHECKING:
    from core_engine_kernels.nca.cell import NcaCell


@frozen
class Nca:
    """Neural cellular automaton: cells see gradients, and update at random times (Mordvintsev et al., 2020)."""

    #: Width of the hidden layer.
    hidden: int = field(default=128, validator=ge(1))
    #: Probability that a cell updates in a step, in evaluation too; 1 updates all cells at once.
    fire_rate: float = field(default=0.5, validator=and_(gt(0.0), le(1.0)))

    def build(self, context: KernelContext) -> NcaCell:
        from core_engine_kernels.nca.cell import NcaCell

        spec = NcaSpec(channels=context.channels, drive_channels=context.drive_channels, **attrs.asdict(self))
        return NcaCell(spec, size=context.size, seed=context.seed)
