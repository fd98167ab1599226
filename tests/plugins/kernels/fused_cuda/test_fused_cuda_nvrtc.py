"""NVRTC that is not there."""

from __future__ import annotations

import ctypes

import pytest
from core_engine_kernels.fused_cuda import nvrtc

from core_engine.errors import EngineError


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    nvrtc.library.cache_clear()
    with pytest.raises(EngineError, match=r"need libnvrtc\.so\.13 or libnvrtc\.so\.12, .*nvidia-cuda-nvrtc"):
        nvrtc.library()
    nvrtc.library.cache_clear()
