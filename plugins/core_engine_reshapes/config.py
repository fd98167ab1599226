"""The options of each reshape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen
from attrs.validators import ge, optional

from core_engine import ReshapeContext

if TYPE_CHECKING:
    from core_engine_reshapes.linear import LinearReshape
    from core_engine_reshapes.projection import ProjectionReshape


@frozen
class Linear:
    """Values laid out cell by cell, nothing learned; exact in both directions."""

    #: Values per cell. Fewer cells with more values each let each value meet more others in a step.
    channels: int = field(default=1, validator=ge(1))
    #: Which dimension lies where: as they come, row by row; the largest variance of the training split first, from the
    #: centre outwards; or correlated dimensions near to one another.
    order: Literal["given", "variance", "correlation"] = "given"
    #: In all cells, or in at the face z = 0 and out at the last one along z.
    placement: Literal["volume", "surface"] = "volume"

    def lattice_channels(self, context: ReshapeContext) -> int:
        """``channels``. ValueError, saying what would fit, where an embedding has more dimensions than it has room."""
        x, y, z = context.size
        surface = self.placement == "surface"
        cells = x * y if surface else context.cells
        room = cells * self.channels
        needed = max(context.input_dim, context.output_dim)
        if needed > room:
            larger = (
                [x, -(-needed // (x * self.channels)), z] if surface else [x, y, -(-needed // (x * y * self.channels))]
            )
            raise ValueError(
                f"{needed} dimensions do not fit into {cells} cells {'of a face, ' if surface else ''}of "
                f"{self.channels} channels ({room} values); set the reshape's channels to {-(-needed // cells)}, "
                f"or lattice.size to {larger}"
            )
        return self.channels

    def build(self, context: ReshapeContext) -> LinearReshape:
        from core_engine_reshapes.linear import LinearReshape

        return LinearReshape(context, self.lattice_channels(context), self.order, self.placement)


@frozen
class Projection:
    """Learned linear maps into the lattice and back; any dimension fits."""

    #: Values per cell.
    channels: int = field(default=1, validator=ge(1))
    #: What the maps start from: a random rotation, the principal axes of the training split, or those in units of their
    #: standard deviation.
    init: Literal["orthogonal", "principal", "whitening"] = "orthogonal"
    #: Rank of what is learned on top of the initial maps, which then stay as they are; 0 learns nothing. Null learns
    #: the whole matrices.
    rank: int | None = field(default=None, validator=optional(ge(0)))

    def lattice_channels(self, context: ReshapeContext) -> int:
        """``channels``: any embedding fits, if need be with loss."""
        return self.channels

    def build(self, context: ReshapeContext) -> ProjectionReshape:
        from core_engine_reshapes.projection import ProjectionReshape

        return ProjectionReshape(context, self.channels, self.init, self.rank)
