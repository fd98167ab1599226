"""Compiles kernels with NVRTC, the compiler library that PyTorch's CUDA builds bring along. No GPU is needed."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path

import torch
from attrs import frozen

from core_engine.errors import EngineError
from core_engine_kernels.fused_cuda.variants import SOURCE, Variant

_MAJOR_VERSIONS = ("13", "12")

_SIGNATURES: dict[str, Sequence[object]] = {
    "nvrtcVersion": (POINTER(c_int), POINTER(c_int)),
    "nvrtcCreateProgram": (POINTER(c_void_p), c_char_p, c_char_p, c_int, POINTER(c_char_p), POINTER(c_char_p)),
    "nvrtcCompileProgram": (c_void_p, c_int, POINTER(c_char_p)),
    "nvrtcDestroyProgram": (POINTER(c_void_p),),
    "nvrtcGetProgramLogSize": (c_void_p, POINTER(c_size_t)),
    "nvrtcGetProgramLog": (c_void_p, c_char_p),
    "nvrtcGetCUBINSize": (c_void_p, POINTER(c_size_t)),
    "nvrtcGetCUBIN": (c_void_p, c_char_p),
}


@frozen
class Compiled:
    """Machine code for one architecture, and what the compiler had to say."""

    cubin: bytes
    log: str


@functools.cache
def library() -> ctypes.CDLL:
    """NVRTC, from the wheels that PyTorch depends on, else wherever the system finds it. EngineError without it."""
    # PyTorch's own release of CUDA first: a driver that runs PyTorch loads what this one compiles.
    own = (torch.version.cuda or "").split(".")[0]
    names = [f"libnvrtc.so.{version}" for version in sorted(_MAJOR_VERSIONS, key=lambda version: version != own)]
    found = [str(path) for name in names for folder in _wheels() for path in sorted(folder.glob(f"*/lib/{name}"))]
    for candidate in (*found, *names):
        try:
            nvrtc = ctypes.CDLL(candidate)
        except OSError:
            continue
        for name, types in _SIGNATURES.items():
            getattr(nvrtc, name).argtypes = types
        return nvrtc
    raise EngineError(
        f"the fused CUDA kernels need {' or '.join(names)}, which is not installed: install a CUDA build of PyTorch or "
        "the package nvidia-cuda-nvrtc, or use backend: reference"
    )


def _wheels() -> list[Path]:
    """Where packages of the namespace ``nvidia`` lie."""
    spec = importlib.util.find_spec("nvidia")
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def version() -> tuple[int, int]:
    """Version of the CUDA release that NVRTC belongs to, such as (13, 0)."""
    major, minor = c_int(), c_int()
    _check(library().nvrtcVersion(byref(major), byref(minor)))
    return major.value, minor.value


def compile_variant(variant: Variant, architecture: str, *options: str, source: Path = SOURCE) -> Compiled:
    """Compiles a kernel for ``architecture``, such as ``sm_90``. EngineError with the compiler's log where it fails."""
    nvrtc = library()
    headers = {path.name: path.read_bytes() for path in sorted(source.glob("*.cuh"))}
    program = c_void_p()
    contents, names = _strings(headers.values()), _strings(name.encode() for name in headers)
    main = f'#include "{variant.kernel}.cuh"\n'.encode()
    _check(
        nvrtc.nvrtcCreateProgram(byref(program), main, f"{variant.kernel}.cu".encode(), len(headers), contents, names)
    )
    try:
        given = [f"--gpu-architecture={architecture}", "--std=c++17", *options]
        given += [f"--define-macro={name}={value}" for name, value in variant.defines.items()]
        status = nvrtc.nvrtcCompileProgram(program, len(given), _strings(option.encode() for option in given))
        log = _text(program, "ProgramLog").rstrip(b"\0").decode()
        if status:
            raise EngineError(f"NVRTC cannot compile {variant.kernel} for {architecture}:\n{log}")
        return Compiled(_text(program, "CUBIN"), log)
    finally:
        nvrtc.nvrtcDestroyProgram(byref(program))


def _text(program: c_void_p, what: str) -> bytes:
    size = c_size_t()
    _check(getattr(library(), f"nvrtcGet{what}Size")(program, byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(getattr(library(), f"nvrtcGet{what}")(program, text))
    return text.raw


def _strings(values: object) -> ctypes.Array[c_char_p]:
    listed = list(values)  # type: ignore[call-overload]
    return (c_char_p * len(listed))(*listed)


def _check(status: int) -> None:
    if status:
        raise EngineError(f"NVRTC failed with status {status}")
