"""The compiled library behind its C interface. It is optional: where it could not be built, it is not there.

It links neither Python nor PyTorch, so it fits every version of both. The OpenMP runtime is PyTorch's own, which is in
the process once torch is imported.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch

from core_engine.errors import EngineError

_ABI = 1

_Pointer = ctypes.c_void_p


class Case(ctypes.Structure):
    """``struct Case`` of source/case.h."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("batch", "x", "y", "z", "channels", "drive_channels", "hidden")),
        *((name, ctypes.c_int32) for name in ("neighbours", "activation", "gated", "periodic", "steps", "every")),
        ("threads", ctypes.c_int32),
        ("isa", ctypes.c_int32),
        ("state_noise", ctypes.c_float),
        ("seed", ctypes.c_int64),
    ]


def _pointers(*names: str) -> type[ctypes.Structure]:
    return type("Pointers", (ctypes.Structure,), {"_fields_": [(name, _Pointer) for name in names]})


Parameters = _pointers(
    "state_weight",
    "drive_weight",
    "hidden_bias",
    "position",
    "update_weight",
    "update_bias",
    "gate_weight",
    "gate_bias",
)
ForwardArguments = _pointers("state", "drive", "sample_ids", "out", "states")
BackwardArguments = _pointers("state", "drive", "sample_ids", "states", "grad", "d_state", "d_drive")


class LibraryMissingError(EngineError):
    """The library is not there or cannot be loaded; the message says why."""


@cache
def load() -> ctypes.CDLL:
    """The library. LibraryMissingError where it cannot be used."""
    torch.get_num_threads()  # torch's OpenMP runtime is in the process from here on
    folder = Path(__file__).parent
    found = [path for suffix in EXTENSION_SUFFIXES if (path := folder / f"_stencil{suffix}").is_file()]
    if not found:
        raise LibraryMissingError(
            "the compiled extension is not there: it is built where pip finds a C++ compiler with OpenMP; "
            "install one, such as g++, and reinstall core-engine"
        )
    try:
        library = ctypes.CDLL(str(found[0]))
    except OSError as error:
        raise LibraryMissingError(f"the compiled extension cannot be loaded: {error}") from error
    if library.core_engine_stencil_abi() != _ABI:
        raise LibraryMissingError("the compiled extension is of another version; reinstall core-engine")
    library.core_engine_stencil_isa.restype = ctypes.c_char_p
    return library


@cache
def instruction_sets() -> dict[str, int]:
    """Name -> number of each implementation that this processor can run, the fastest first."""
    library = load()
    names: list[str] = []
    while (name := library.core_engine_stencil_isa(len(names))) is not None:
        names.append(name.decode())
    return {name: n for n, name in enumerate(names) if library.core_engine_stencil_isa_available(n)}
