"""What a cell that is a gated recurrent unit is, as data."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge


@frozen
class GruSpec:
    """A gated recurrent unit. :class:`~core_engine_kernels.gru.cell.GruCell` states its equations.

    ``channels``: floats per cell of the state, C. ``drive_channels``: of the drive, E.
    """

    channels: int = field(validator=ge(1))
    drive_channels: int = field(validator=ge(0))

    def parameter_shapes(self, size: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every parameter; ``size`` plays no part, since all cells are alike.

        The first axis is that of update gate, reset gate and candidate, in this order.
        """
        channels = self.channels
        return {
            "own_weight": (3, channels, channels),
            "neighbour_weight": (3, channels, 6, channels),
            "drive_weight": (3, channels, self.drive_channels),
            "bias": (3, channels),
        }
