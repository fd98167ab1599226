"""NVRTC that is not there."""

from __future__ import annotations

import ctypes

import pytest
import torch
from core_engine_kernels.fused_cuda import nvrtc

from core_engine.errors import EngineError


def test_the_compiler_of_pytorchs_own_cuda_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def missing(name: str) -> ctypes.CDLL:
        asked.append(name)
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setattr(nvrtc, "_wheels", list)
    for cuda, first in (("12.8", "libnvrtc.so.12"), ("13.0", "libnvrtc.so.13"), (None, "libnvrtc.so.13")):
        monkeypatch.setattr(torch.version, "cuda", cuda)
        asked.clear()
        with pytest.raises(EngineError):
            nvrtc.library.__wrapped__()
        assert asked[0] == first
        assert len(asked) == 2


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    nvrtc.library.cache_clear()
    with pytest.raises(EngineError, match=r"need libnvrtc\.so\.13 or libnvrtc\.so\.12, .*nvidia-cuda-nvrtc"):
        nvrtc.library()
    nvrtc.library.cache_clear()
