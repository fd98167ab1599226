"""Which stencil cells the compiled library has code for."""

from __future__ import annotations

from core_engine_kernels.stencil.fused import refusal_of_training
from core_engine_kernels.stencil.spec import CellSpec

#: source/case.h has the same bounds.
CHANNELS = (8, 16, 32, 64)
HIDDEN = (32, 64, 96, 128)
MOST_DRIVE_CHANNELS = 64


def refusal(spec: CellSpec) -> str | None:
    """Why the library does not compute this cell; None where it does."""
    if spec.channels not in CHANNELS:
        return f"{spec.channels} channels: it computes {_or(CHANNELS)}"
    if spec.hidden not in HIDDEN:
        return f"a hidden layer of {spec.hidden}: it computes {_or(HIDDEN)}"
    if spec.drive_channels > MOST_DRIVE_CHANNELS:
        return f"{spec.drive_channels} drive channels: it computes up to {MOST_DRIVE_CHANNELS}"
    return refusal_of_training(spec)


def _or(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"
