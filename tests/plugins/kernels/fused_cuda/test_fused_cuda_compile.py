"""The CUDA source through NVIDIA's compiler, for every architecture: it compiles, and registers suffice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from core_engine_kernels.fused_cuda import nvrtc
from core_engine_kernels.fused_cuda.plan import Gpu, Launch, plan
from core_engine_kernels.fused_cuda.variants import Variant, variant
from core_engine_kernels.stencil.spec import CellSpec

from core_engine.errors import EngineError

#: Shared memory of a block, see the CUDA C++ Programming Guide, technical specifications per compute capability.
ARCHITECTURES = {"sm_80": 166912, "sm_90": 232448, "sm_100": 232448, "sm_120": 101376}
#: Registers that a thread may have at so many warps.
LIMITS = {4: 255, 8: 255, 12: 168}
#: Bytes that a thread may store to local memory because registers do not suffice: none where a state of 16 or 32
#: channels meets a hidden layer of 64, but for a few outside the loops; more where the gradient takes most registers.
SPILLS = {"narrow": 32, "default core": 400, "wide": 400}

CELLS = {
    "narrow": (CellSpec(16, 1), (8, 8, 12)),
    "default core": (CellSpec(32, 24, 128), (4, 2, 2)),
    "wide": (CellSpec(64, 8), (8, 8, 12)),
}


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    try:
        nvrtc.library()
    except EngineError as error:
        pytest.skip(str(error))


def variants(cell: str, shared: int) -> list[Variant]:
    spec, size = CELLS[cell]
    found = plan(spec, size, 1024, Gpu(132, shared))
    if isinstance(found, str):
        return []
    launches: list[Launch | None] = [found.forward, found.backward, found.pull]
    return [launch.variant for launch in launches if launch is not None]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("cell", CELLS)
def test_registers_suffice(cell: str, architecture: str) -> None:
    for kernel in variants(cell, ARCHITECTURES[architecture]):
        compiled = nvrtc.compile_variant(kernel, architecture, "--ptxas-options=-v")
        assert compiled.cubin.startswith(b"\x7fELF")
        (registers,) = map(int, re.findall(r"Used (\d+) registers", compiled.log))
        (spilled,) = map(int, re.findall(r"(\d+) bytes spill stores", compiled.log))
        assert registers <= LIMITS[kernel.warps]
        assert spilled <= SPILLS[cell], f"{kernel} spills {spilled} bytes on {architecture}"


@pytest.mark.parametrize("activation", ["gelu_tanh", "relu", "silu"])
def test_every_option_compiles(activation: str) -> None:
    spec = CellSpec(16, 0, 32, activation, "gated", boundary="periodic", state_noise=0.1)  # type: ignore[arg-type]
    for kernel in ("forward_resident", "backward_resident", "add_noise"):
        assert nvrtc.compile_variant(variant(kernel, spec, warps=8), "sm_80").cubin


def test_a_mistake_in_the_source_is_reported(tmp_path: Path) -> None:
    (tmp_path / "broken.cuh").write_text("this is no C++\n")
    with pytest.raises(EngineError, match=r"NVRTC cannot compile broken for sm_80:\n.*broken\.cuh\(1\): error"):
        nvrtc.compile_variant(variant("broken", CellSpec(16, 1), warps=8), "sm_80", source=tmp_path)
