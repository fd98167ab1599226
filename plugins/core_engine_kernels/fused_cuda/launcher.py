"""What runs kernels: a GPU (driver.py), or an emulator in tests."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from torch import Tensor

from core_engine_kernels.fused_cuda.plan import Gpu
from core_engine_kernels.fused_cuda.variants import Variant

#: A tensor stands for the address of its first value, None for a null pointer.
Argument: TypeAlias = "Tensor | ctypes._SimpleCData[Any] | ctypes.Structure | None"


class Launcher(Protocol):
    """Runs kernels in order, on the device that the tensors lie on."""

    @property
    def gpu(self) -> Gpu:
        """What plans are made for."""
        ...

    def launch(self, variant: Variant, grid: int, shared: int, arguments: Sequence[Argument]) -> None:
        """``grid`` blocks of ``variant.threads``, with ``shared`` bytes of shared memory each."""
        ...


class LatticeArgument(ctypes.Structure):
    """``Lattice`` in source/lattice.cuh."""

    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int), ("z", ctypes.c_int), ("periodic", ctypes.c_int))


class NoiseArgument(ctypes.Structure):
    """``Noise`` in source/functions.cuh."""

    _fields_ = (
        ("sample_ids", ctypes.c_void_p),
        ("seed", ctypes.c_longlong),
        ("first_step", ctypes.c_longlong),
        ("scale", ctypes.c_float),
    )
