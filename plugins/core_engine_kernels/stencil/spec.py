"""What a stencil cell is, as data: all that an implementation needs to know besides the parameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import attrs
from attrs import field, frozen
from attrs.validators import and_, ge, gt, in_, le, lt

Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]
Update = Literal["residual", "gated"]
Boundary = Literal["zero", "periodic"]

Offset = tuple[int, int, int]

_SIX: tuple[Offset, ...] = ((0, 0, 0), (-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))
_CUBE: tuple[Offset, ...] = (
    (0, 0, 0),
    *((x, y, z) for x, y, z in itertools.product((-1, 0, 1), repeat=3) if (x, y, z) != (0, 0, 0)),
)


@frozen
class CellSpec:
    """A stencil cell. :class:`~core_engine_kernels.stencil.cell.StencilCell` states its equations.

    ``channels``: floats per cell of the state, C. ``drive_channels``: of the drive, E. ``hidden``: width of the hidden
    layer, H. ``position``: whether each cell has a bias of its own. ``state_noise``: standard deviation. ``dropout``
    and ``update_probability`` are of training; in evaluation a cell is what :meth:`in_evaluation` says.
    """

    channels: int = field(validator=ge(1))
    drive_channels: int = field(validator=ge(0))
    hidden: int = field(default=64, validator=ge(1))
    activation: Activation = field(default="gelu", validator=in_(("gelu", "gelu_tanh", "relu", "silu")))
    update: Update = field(default="residual", validator=in_(("residual", "gated")))
    neighbours: Literal[6, 26] = field(default=6, validator=in_((6, 26)))
    boundary: Boundary = field(default="zero", validator=in_(("zero", "periodic")))
    position: bool = True
    state_noise: float = field(default=0.0, validator=and_(ge(0.0), lt(math.inf)))
    dropout: float = field(default=0.0, validator=and_(ge(0.0), lt(1.0)))
    update_probability: float = field(default=1.0, validator=and_(gt(0.0), le(1.0)))
    #: The spec in one line, for operators, whose arguments are tensors, numbers and strings. Made once: a compiler that
    #: takes the numbers for variables could not trace the making of it.
    text: str = field(init=False, eq=False, repr=False)

    @property
    def offsets(self) -> tuple[Offset, ...]:
        """Displacements (x, y, z) from a cell to those it sees, in the order of ``state_weight``'s second axis.

        The cell itself comes first. Six neighbours: x - 1, x + 1, y - 1, y + 1, z - 1, z + 1. Twenty-six: in
        lexicographic order from (-1, -1, -1) to (1, 1, 1).
        """
        return _SIX if self.neighbours == 6 else _CUBE

    @property
    def gated(self) -> bool:
        return self.update == "gated"

    @property
    def periodic(self) -> bool:
        return self.boundary == "periodic"

    @property
    def random_in_training(self) -> bool:
        """Whether training leaves values of the hidden layer or whole cells out of a step."""
        return self.dropout > 0 or self.update_probability < 1

    def in_evaluation(self) -> CellSpec:
        """The cell that leaves nothing out of a step."""
        return attrs.evolve(self, dropout=0.0, update_probability=1.0)

    def parameter_shapes(self, size: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every parameter, in the order in which implementations are given them."""
        hidden, channels = self.hidden, self.channels
        shapes: dict[str, tuple[int, ...]] = {
            "state_weight": (hidden, len(self.offsets), channels),
            "drive_weight": (hidden, self.drive_channels),
            "hidden_bias": (hidden,),
        }
        if self.position:
            shapes["position"] = (*size, hidden)
        shapes |= {"update_weight": (channels, hidden), "update_bias": (channels,)}
        if self.gated:
            shapes |= {"gate_weight": (channels, hidden), "gate_bias": (channels,)}
        return shapes

    def __attrs_post_init__(self) -> None:
        words = (
            f"{self.channels} {self.drive_channels} {self.hidden} {self.activation} {self.update} {self.neighbours} "
            f"{self.boundary} {int(self.position)} {self.state_noise} {self.dropout} {self.update_probability}"
        )
        object.__setattr__(self, "text", words)


_READ: dict[str, Callable[[str], Any]] = {
    "activation": str,
    "update": str,
    "boundary": str,
    "position": lambda word: word == "1",
    "state_noise": float,
    "dropout": float,
    "update_probability": float,
}


@lru_cache(maxsize=256)
def spec_from_text(text: str) -> CellSpec:
    """The inverse of :attr:`CellSpec.text`."""
    names = (attribute.name for attribute in attrs.fields(CellSpec) if attribute.init)
    return CellSpec(**{name: _READ.get(name, int)(word) for name, word in zip(names, text.split(), strict=True)})
