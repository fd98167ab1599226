"""What the fused CUDA kernels cannot run, and why."""

from __future__ import annotations

import math

import torch

from core_engine.errors import EngineError
from core_engine_kernels.fused_cuda import driver, nvrtc
from core_engine_kernels.fused_cuda.plan import Gpu, plan
from core_engine_kernels.stencil.fused import refusal_of_training
from core_engine_kernels.stencil.spec import CellSpec

_CHANNELS = (16, 32, 64)
_HIDDEN = (32, 64, 128)
_OLDEST_CAPABILITY = (8, 0)  # the first with matrix instructions for bf16
_LARGEST = 2**31 - 1  # kernels count the cells of a lattice in 32 bits


def refusal(
    spec: CellSpec, size: tuple[int, int, int], batch: int, steps: int, dtype: torch.dtype, device: torch.device
) -> str | None:
    """In one line why the kernels cannot run this case here, or None.

    ``dtype`` is that of state and drive. ``steps`` is any positive number.
    """
    if device.type != "cuda":
        return f"it computes on CUDA devices, and this is {device}"
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    if reason := refusal_of_cell(spec, dtype):
        return reason
    try:
        nvrtc.library()
        launcher = driver.launcher_for(device)
        capability = driver.capability(launcher.index)
    except EngineError as error:
        return str(error)
    if capability < _OLDEST_CAPABILITY:
        return f"it needs compute capability 8.0, and this GPU has {capability[0]}.{capability[1]}"
    return refusal_of_size(spec, size, batch, steps, launcher.gpu)


def refusal_of_cell(spec: CellSpec, dtype: torch.dtype) -> str | None:
    """What no GPU can run."""
    if dtype not in (torch.float32, torch.bfloat16):
        return f"it takes states in float32 or bfloat16, and this is {dtype}"
    if spec.neighbours != 6:
        return f"{spec.neighbours} neighbours: it computes 6"
    if spec.channels not in _CHANNELS:
        return f"{spec.channels} channels: it computes 16, 32 or 64"
    if spec.hidden not in _HIDDEN:
        return f"a hidden layer of {spec.hidden}: it computes 32, 64 or 128"
    return refusal_of_training(spec)


def refusal_of_size(spec: CellSpec, size: tuple[int, int, int], batch: int, steps: int, gpu: Gpu) -> str | None:
    """What this GPU cannot run of a cell that others may."""
    if batch < 1 or steps < 1:
        return f"it computes at least one step of one sample, and this is {steps} of {batch}"
    if math.prod(size) * spec.channels > _LARGEST:
        return f"it counts the values of a sample in 32 bits, and {math.prod(size)} cells have more"
    if batch > _LARGEST // 2:
        return f"it counts samples in 32 bits, and a batch of {batch} is more than half of these"
    found = plan(spec, size, batch, gpu)
    return found if isinstance(found, str) else None
