"""The options of the gated recurrent cell in a recipe: it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from core_engine import KernelContext
from core_engine_kernels.gru.spec import GruSpec

if TYPE_CHECKING:
    from core_engine_kernels.gru.cell import GruCell


@frozen
class Gru:
    """Gated recurrent unit over a cell's six neighbours and its drive (Cho et al., 2014)."""

    def build(self, context: KernelContext) -> GruCell:
        from core_engine_kernels.gru.cell import GruCell

        spec = GruSpec(channels=context.channels, drive_channels=context.drive_channels)
        return GruCell(spec, size=context.size, seed=context.seed)
