"""Launches kernels on NVIDIA GPUs through the CUDA driver. The one module that cannot be tested without a GPU.

Code that is not shipped is compiled for the GPU at hand when a variant is first launched, in a second or less, and
kept until the process ends. Launches go to PyTorch's current stream and wait for nothing, so they can be captured in a
CUDA graph once each variant has been launched before.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from ctypes import byref, c_int, c_uint, c_void_p
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from core_engine.errors import EngineError
from core_engine_kernels.fused_cuda import shipped
from core_engine_kernels.fused_cuda.launcher import Argument
from core_engine_kernels.fused_cuda.nvrtc import compile_variant
from core_engine_kernels.fused_cuda.plan import Gpu
from core_engine_kernels.fused_cuda.variants import Variant

# Numbers from cuda.h.
_MULTIPROCESSORS = 16
_CAPABILITY = (75, 76)
_SHARED_MEMORY_OF_BLOCK = 97
_MAX_DYNAMIC_SHARED_MEMORY = 8


@frozen
class CudaLauncher:
    """Launches on the GPU number ``index``, which must be torch's current one."""

    index: int
    gpu: Gpu

    def launch(self, variant: Variant, grid: int, shared: int, arguments: Sequence[Argument]) -> None:
        """See :class:`~core_engine_kernels.fused_cuda.launcher.Launcher`. EngineError where CUDA refuses."""
        _use_primary_context(self.index)
        function = _function(self.index, variant)
        values = [_value(argument) for argument in arguments]
        pointers = (c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        stream = c_void_p(torch.cuda.current_stream(self.index).cuda_stream)
        blocks, threads = (c_uint(grid), c_uint(1), c_uint(1)), (c_uint(variant.threads), c_uint(1), c_uint(1))
        _call("cuLaunchKernel", function, *blocks, *threads, c_uint(shared), stream, pointers, None)


def launcher_for(device: torch.device) -> CudaLauncher:
    """The launcher of a CUDA device; of the current one where ``device`` has no number."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return _launcher(index)


def capability(index: int) -> tuple[int, int]:
    """Compute capability of GPU number ``index``, such as (9, 0)."""
    major, minor = (_attribute(index, number) for number in _CAPABILITY)
    return major, minor


@functools.cache
def _launcher(index: int) -> CudaLauncher:
    gpu = Gpu(_attribute(index, _MULTIPROCESSORS), _attribute(index, _SHARED_MEMORY_OF_BLOCK))
    return CudaLauncher(index, gpu)


@functools.cache
def _function(index: int, variant: Variant) -> c_void_p:
    """The kernel on the GPU; the primary context must be current."""
    major, minor = capability(index)
    code = shipped.find(variant, (major, minor), _driver_version())
    if code is None:
        code = compile_variant(variant, f"sm_{major}{minor}").cubin
    module, function = c_void_p(), c_void_p()
    _call("cuModuleLoadData", byref(module), code)
    _call("cuModuleGetFunction", byref(function), module, variant.kernel.encode())
    limit = c_int(_attribute(index, _SHARED_MEMORY_OF_BLOCK))
    _call("cuFuncSetAttribute", function, c_int(_MAX_DYNAMIC_SHARED_MEMORY), limit)
    return function


def _value(argument: Argument) -> ctypes._SimpleCData[Any] | ctypes.Structure:
    """What the kernel is given, in memory that its address can be taken of."""
    if isinstance(argument, Tensor):
        return c_void_p(argument.data_ptr())
    return c_void_p(None) if argument is None else argument


def _use_primary_context(index: int) -> None:
    """Threads of autograd may have no context yet, or another GPU's; torch's own is the primary one."""
    current, wanted = c_void_p(), _primary_context(index)
    _call("cuCtxGetCurrent", byref(current))
    if current.value != wanted.value:
        _call("cuCtxSetCurrent", wanted)


@functools.cache
def _primary_context(index: int) -> c_void_p:
    context = c_void_p()
    # Never released: torch holds it until the process ends.
    _call("cuDevicePrimaryCtxRetain", byref(context), _device(index))
    return context


@functools.cache
def _attribute(index: int, number: int) -> int:
    value = c_int()
    _call("cuDeviceGetAttribute", byref(value), c_int(number), _device(index))
    return value.value


@functools.cache
def _driver_version() -> int:
    """Major version of CUDA up to which the driver goes."""
    version = c_int()
    _call("cuDriverGetVersion", byref(version))
    return version.value // 1000


@functools.cache
def _device(index: int) -> c_int:
    _call("cuInit", c_uint(0))
    device = c_int()
    _call("cuDeviceGet", byref(device), c_int(index))
    return device


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise EngineError(
            "the fused CUDA kernels need NVIDIA's driver, libcuda.so.1, which is not installed: use backend: reference"
        ) from None


def _call(name: str, *arguments: object) -> None:
    status = getattr(_library(), name)(*arguments)
    if status:
        text = ctypes.c_char_p()
        _library().cuGetErrorString(c_int(status), byref(text))
        reason = text.value.decode() if text.value else "unknown error"
        raise EngineError(f"{name} failed with CUDA error {status}: {reason}")
