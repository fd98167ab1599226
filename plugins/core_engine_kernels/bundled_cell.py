"""What the bundled cells have in common: a spec, parameters drawn as it says, and shapes that are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from core_engine import CellKernel
from core_engine.errors import EngineError


class Spec(Protocol):
    """Which cell it is, as data. ``channels``: floats per cell of the state. ``drive_channels``: of the drive."""

    @property
    def channels(self) -> int: ...
    @property
    def drive_channels(self) -> int: ...
    def parameter_shapes(self, size: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every parameter, in the order in which implementations are given them."""
        ...


class BundledCell(CellKernel):
    """A CellKernel with the parameters that its spec names.

    Those in ``std`` start normal with mean 0 and that standard deviation, drawn on the CPU from a generator seeded by
    ``seed``; the others start at 0.
    """

    spec: Spec

    def __init__(self, spec: Spec, *, size: tuple[int, int, int], seed: int, std: Mapping[str, float]) -> None:
        super().__init__()
        self.spec = spec
        self.size = size
        source = torch.Generator().manual_seed(seed)
        for name, shape in spec.parameter_shapes(size).items():
            value = torch.randn(shape, generator=source) * std[name] if name in std else torch.zeros(shape)
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, state: Tensor, drive: Tensor, steps: int, seed: int, sample_ids: Tensor) -> Tensor:
        """State ``[B, X, Y, Z, C]`` after ``steps`` steps, in the dtype of ``state``; drive ``[B, X, Y, Z, E]``.

        EngineError where the shapes are not those the cell was built for.
        """
        channels, drive_channels = self.spec.channels, self.spec.drive_channels
        for name, given, width in (("state", state, channels), ("drive", drive, drive_channels)):
            if given.dim() != 5 or given.shape[1:] != (*self.size, width):
                wanted = ", ".join(str(length) for length in (*self.size, width))
                raise EngineError(f"{name} is {list(given.shape)}; this kernel takes [B, {wanted}]")
        return super().forward(state, drive, steps, seed, sample_ids)

    def extra_repr(self) -> str:
        return f"{self.spec}, size={self.size}"
