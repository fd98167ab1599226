"""What driver.py hands to the CUDA driver, which a small library stands in for."""

from __future__ import annotations

import ctypes
import functools
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from core_engine_kernels.fused_cuda import driver, shipped
from core_engine_kernels.fused_cuda.nvrtc import Compiled
from core_engine_kernels.fused_cuda.plan import Gpu
from core_engine_kernels.fused_cuda.variants import variant
from core_engine_kernels.stencil.spec import CellSpec
from cuda_emulator import COMPILER, HERE

from core_engine.errors import EngineError

KERNEL = variant("forward_step", CellSpec(16, 1), warps=8)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("the stand-in for the CUDA driver needs g++")
    target = tmp_path_factory.mktemp("fake_cuda") / "libfake_cuda.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", str(HERE / "fake_cuda.cpp"), "-o", str(target)], check=True)
    return target


@pytest.fixture
def cuda(library: Path, monkeypatch: pytest.MonkeyPatch) -> ctypes.CDLL:
    """The stand-in, a compiler, and no shipped kernels."""
    fake = ctypes.CDLL(str(library))
    fake.fake_name.restype = ctypes.c_char_p
    for name in ("fake_stream", "fake_pointer"):
        getattr(fake, name).restype = ctypes.c_void_p
    monkeypatch.setattr(driver, "_library", lambda: fake)
    monkeypatch.setattr(
        driver, "compile_variant", lambda kernel, architecture: Compiled(b"\x7fELF\0\x01" + architecture.encode(), "")
    )
    monkeypatch.setattr(shipped, "find", lambda kernel, capability, driver: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda index: SimpleNamespace(cuda_stream=0xABCDEF012345 + index))
    # Nothing of the stand-in may be remembered.
    for name in ("_launcher", "_function", "_primary_context", "_attribute", "_device", "_driver_version"):
        monkeypatch.setattr(driver, name, functools.cache(getattr(driver, name).__wrapped__))
    return fake


def test_a_launch_reaches_the_driver(cuda: ctypes.CDLL) -> None:
    launcher = driver.launcher_for(torch.device("cuda", 1))
    assert launcher.gpu == Gpu(multiprocessors=132, shared=232448)
    assert driver.capability(1) == (9, 0)
    tensor = torch.zeros(3)
    launcher.launch(KERNEL, 70000, 200000, (tensor, ctypes.c_int(-7), None))
    assert cuda.fake_name() == b"forward_step"
    assert [cuda.fake_shape(i) for i in range(7)] == [70000, 1, 1, 256, 1, 1, 200000]
    assert cuda.fake_stream() == 0xABCDEF012346
    assert cuda.fake_pointer() == tensor.data_ptr()
    assert cuda.fake_number() == -7
    assert cuda.fake_code() == 1


def test_gpus_in_turn_on_one_thread(cuda: ctypes.CDLL) -> None:
    for index in (0, 1, 0):
        launcher = driver.launcher_for(torch.device("cuda", index))
        launcher.launch(KERNEL, 1, 0, (torch.zeros(3), ctypes.c_int(0), None))
        assert cuda.fake_device() == index


def test_shipped_code_is_preferred(cuda: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def find(*arguments: object) -> bytes:
        asked.append(arguments)
        return b"\x7fELF\0\x02"

    arguments = (torch.zeros(3), ctypes.c_int(0), None)
    launcher = driver.launcher_for(torch.device("cuda", 0))
    monkeypatch.setattr(shipped, "find", find)
    launcher.launch(KERNEL, 1, 0, arguments)
    launcher.launch(KERNEL, 1, 0, arguments)
    assert cuda.fake_code() == 2
    assert asked == [(KERNEL, (9, 0), 13)]


@pytest.mark.usefixtures("cuda")
def test_what_the_driver_refuses_is_an_error() -> None:
    launcher = driver.launcher_for(torch.device("cuda", 0))
    with pytest.raises(EngineError, match="cuLaunchKernel failed with CUDA error 701: too many resources requested"):
        launcher.launch(KERNEL, 1, 300000, (torch.zeros(3), ctypes.c_int(0), None))
    with pytest.raises(EngineError, match="cuDeviceGet failed with CUDA error 101"):
        driver.launcher_for(torch.device("cuda", 2))


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(EngineError, match=r"need NVIDIA's driver, libcuda\.so\.1, which is not installed"):
        driver._library.__wrapped__()
