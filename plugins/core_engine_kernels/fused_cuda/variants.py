"""One compiled kernel: which of the sources, for which cell."""

from __future__ import annotations

from pathlib import Path

import attrs
from attrs import frozen

from core_engine_kernels.stencil.spec import CellSpec

#: The device code. A kernel ``name`` is the one function of ``name.cuh``.
SOURCE = Path(__file__).parent / "source"

_ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu")  # numbered as in source/config.cuh


def padded_drive(spec: CellSpec) -> int:
    """Width of the packed drive: the drive, a one that carries the hidden bias, zeros up to a multiple of 16."""
    return (spec.drive_channels + 1 + 15) // 16 * 16


@frozen
class Variant:
    """A kernel and the constants it is compiled with; the lattice, the batch and the weights are arguments.

    ``warps``: of a block. ``chunk``: tiles of 16 cells that a block treats at once. ``tiles``: those that a warp of
    ``forward_resident`` keeps; 1 elsewhere.
    """

    kernel: str
    channels: int
    drive: int
    hidden: int
    activation: int
    gated: bool
    noise: bool
    warps: int
    chunk: int
    tiles: int = 1

    @property
    def threads(self) -> int:
        return 32 * self.warps

    @property
    def defines(self) -> dict[str, int]:
        """Macros that the compiler is given."""
        constants = attrs.asdict(self)
        del constants["kernel"]
        return {f"CELL_{name.upper()}": int(value) for name, value in constants.items()}


def variant(kernel: str, spec: CellSpec, *, warps: int, chunk: int | None = None, tiles: int = 1) -> Variant:
    """The variant of ``kernel`` for a cell; ``chunk``: None for a tile a warp."""
    return Variant(
        kernel,
        channels=spec.channels,
        drive=padded_drive(spec),
        hidden=spec.hidden,
        activation=_ACTIVATIONS.index(spec.activation),
        gated=spec.gated,
        noise=spec.state_noise > 0,
        warps=warps,
        chunk=chunk or warps,
        tiles=tiles,
    )
