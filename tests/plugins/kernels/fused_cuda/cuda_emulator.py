"""Runs the device source on the CPU: see emulator.h."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch
from core_engine_kernels.fused_cuda.launcher import Argument
from core_engine_kernels.fused_cuda.plan import Gpu
from core_engine_kernels.fused_cuda.variants import SOURCE, Variant
from torch import Tensor

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
#: Shared memory of a block on sm_90; few multiprocessors, so that blocks take several samples.
GPU = Gpu(multiprocessors=2, shared=232448)
_GUARD = 4096  # bytes on either side of an argument
_PATTERN = 0xFF  # of which every float is NaN
_COMPILE = [str(COMPILER), "-std=c++17", "-Og", "-fPIC", "-U_FORTIFY_SOURCE", "-Wall", "-Wno-unknown-pragmas"]


class EmulatorError(Exception):
    """A kernel did something that a GPU would not forgive."""


class Emulator:
    """A launcher on the CPU. ``seed``: of the adversarial order of warps and blocks, 0 for the ordinary one."""

    def __init__(self, folder: Path, seed: int = 0, gpu: Gpu = GPU, source: Path = SOURCE) -> None:
        self.folder, self.seed, self.gpu, self.source = folder, seed, gpu, source
        self.launched: list[Variant] = []

    def launch(self, variant: Variant, grid: int, shared: int, arguments: Sequence[Argument]) -> None:
        """EmulatorError where memory is misused, or the kernel lays out other than ``shared`` bytes."""
        self.launched.append(variant)
        library = _library(self.folder, self.source, variant)
        guarded = {id(a): _Guarded(a) for a in arguments if isinstance(a, Tensor)}
        values = [
            ctypes.c_void_p(guarded[id(a)].address if isinstance(a, Tensor) else None)
            if a is None or isinstance(a, Tensor)
            else a
            for a in arguments
        ]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        used = ctypes.c_int()
        problem = library.emulate(pointers, grid, variant.threads, shared, self.seed, ctypes.byref(used))
        if problem is not None:
            raise EmulatorError(f"{variant.kernel}: {problem.decode()}")
        if used.value != shared:
            raise EmulatorError(f"{variant.kernel} lays out {used.value} bytes of shared memory, not {shared}")
        for copy in guarded.values():
            copy.copy_back(variant.kernel)


class _Guarded:
    """A copy of a tensor between zones that must not change."""

    def __init__(self, tensor: Tensor) -> None:
        if not tensor.is_contiguous():
            raise EmulatorError("an argument is not contiguous")
        self.tensor = tensor
        self.size = tensor.numel() * tensor.element_size()
        self.memory = torch.full((self.size + 2 * _GUARD,), _PATTERN, dtype=torch.uint8)
        self.inside = self.memory[_GUARD : _GUARD + self.size]
        self.inside.copy_(tensor.reshape(-1).view(torch.uint8))
        self.address = self.inside.data_ptr() if self.size else self.memory.data_ptr() + _GUARD

    def copy_back(self, kernel: str) -> None:
        zones = self.memory[:_GUARD], self.memory[_GUARD + self.size :]
        if not all(bool((zone == _PATTERN).all()) for zone in zones):
            raise EmulatorError(f"{kernel} wrote beyond an argument of shape {list(self.tensor.shape)}")
        self.tensor.view(-1).view(torch.uint8).copy_(self.inside)


def _included(source: Path, name: str) -> dict[str, str]:
    """The text of a file and of all that it includes, by name."""
    files: dict[str, str] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name not in files:
            files[name] = (source / name).read_text()
            waiting += re.findall(r'#include "(.+)"', files[name])
    return files


@functools.cache
def _library(folder: Path, source: Path, variant: Variant) -> ctypes.CDLL:
    """A kernel behind emulate.cpp."""
    library = compiled(folder, source, variant, "emulate.cpp")
    library.emulate.restype = ctypes.c_char_p
    return library


def compiled(folder: Path, source: Path, variant: Variant, main: str) -> ctypes.CDLL:
    """``main``, compiled by the C++ compiler with the source and emulator.h in place of intrinsics.cuh.

    EmulatorError with what the compiler says, if it says anything.
    """
    files = _included(source, f"{variant.kernel}.cuh") | {"intrinsics.cuh": ""}
    # Mutants share what they do not change.
    work = folder / hashlib.sha256(repr((sorted(files.items()), variant, main)).encode()).hexdigest()[:16]
    target = work / "kernel.so"
    if not target.exists():
        work.mkdir(exist_ok=True)
        for name, text in files.items():
            (work / name).write_text(text)
        defines = [f"-D{key}={value}" for key, value in variant.defines.items()]
        defines += [f'-DKERNEL_FILE="{variant.kernel}.cuh"', f"-DKERNEL_NAME={variant.kernel}"]
        included = ["-include", str(_header(folder)), f"-I{work}"]
        _run([*_COMPILE, "-shared", *defines, *included, str(HERE / main), "-o", str(target)])
    return ctypes.CDLL(str(target))


@functools.cache
def _header(folder: Path) -> Path:
    """emulator.h, compiled once for all kernels: it takes the compiler longer than a kernel does."""
    header = folder / "emulator.h"
    header.write_text((HERE / "emulator.h").read_text().replace("#pragma once\n", ""))
    _run([*_COMPILE, "-x", "c++-header", str(header), "-o", f"{header}.gch"])
    return header


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise EmulatorError(done.stderr)
