"""What a cell of a neural cellular automaton is, as data."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le


@frozen
class NcaSpec:
    """A cell of a neural cellular automaton. :class:`~core_engine_kernels.nca.cell.NcaCell` states its equations.

    ``channels``: floats per cell of the state, C. ``drive_channels``: of the drive, E. ``hidden``: width of the hidden
    layer, H. ``fire_rate``: probability that a cell updates in a step.
    """

    channels: int = field(validator=ge(1))
    drive_channels: int = field(validator=ge(0))
    hidden: int = field(default=128, validator=ge(1))
    fire_rate: float = field(default=0.5, validator=and_(gt(0.0), le(1.0)))

    def parameter_shapes(self, size: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every parameter; ``size`` plays no part, since all cells are alike."""
        return {
            "perception_weight": (self.hidden, 4, self.channels),
            "drive_weight": (self.hidden, self.drive_channels),
            "hidden_bias": (self.hidden,),
            "update_weight": (self.channels, self.hidden),
            "update_bias": (self.channels,),
        }
