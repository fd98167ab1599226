"""Launch plans. That the bytes of shared memory are those the source lays out is checked wherever the emulator runs."""

from __future__ import annotations

import math

import pytest
from core_engine_kernels.fused_cuda.plan import Gpu, Plan, plan
from core_engine_kernels.stencil.spec import CellSpec

HOPPER = Gpu(multiprocessors=132, shared=232448)
SMALL = Gpu(multiprocessors=170, shared=101376)


def planned(spec: CellSpec, size: tuple[int, int, int], batch: int, gpu: Gpu) -> Plan:
    found = plan(spec, size, batch, gpu)
    assert isinstance(found, Plan), found
    return found


@pytest.mark.parametrize("channels", [16, 32])
def test_the_pinned_cells_are_resident_on_hopper(channels: int) -> None:
    found = planned(CellSpec(channels, 1, position=False), (8, 8, 12), 1024, HOPPER)
    assert found.forward.resident
    assert found.backward.resident
    assert found.pull is None


def test_where_shared_memory_is_short_backward_goes_step_by_step() -> None:
    found = planned(CellSpec(16, 1), (8, 8, 12), 1024, SMALL)
    assert found.forward.resident
    assert not found.backward.resident
    assert found.pull is not None


def test_large_lattices_go_step_by_step() -> None:
    found = planned(CellSpec(16, 1), (37, 37, 37), 2, HOPPER)
    assert not found.forward.resident
    assert not found.backward.resident


@pytest.mark.parametrize("gpu", [HOPPER, SMALL])
@pytest.mark.parametrize("hidden", [32, 64, 128])
@pytest.mark.parametrize("channels", [16, 32, 64])
@pytest.mark.parametrize("size", [(1, 1, 1), (4, 2, 2), (8, 8, 12), (37, 37, 37)])
def test_plans_keep_to_the_gpu(size: tuple[int, int, int], channels: int, hidden: int, gpu: Gpu) -> None:
    found = plan(CellSpec(channels, 24, hidden), size, 64, gpu)
    if isinstance(found, str):
        assert str(gpu.shared) in found or "registers" in found
        return
    cells = math.prod(size)
    for launch in (found.forward, found.backward, found.pull):
        if launch is None:
            continue
        assert launch.shared <= gpu.shared
        assert launch.variant.chunk <= launch.variant.warps
        assert launch.grid(64, cells, gpu) >= 1
    if found.forward.resident:
        variant = found.forward.variant
        assert variant.tiles * variant.warps * 16 >= found.forward.group * cells


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_small_lattices_share_blocks_but_leave_none_idle(batch: int) -> None:
    launch = planned(CellSpec(16, 1), (2, 2, 2), batch, HOPPER).forward
    assert launch.grid(batch, 8, HOPPER) == min(batch, math.ceil(batch / launch.group))
    assert launch.group == 1 or launch.grid(batch, 8, HOPPER) > HOPPER.multiprocessors // 2


def test_blocks_that_sum_are_as_many_as_can_run() -> None:
    found = planned(CellSpec(16, 1), (37, 37, 37), 2, HOPPER)
    blocks, slots = found.backward.summing_grid(2, 37**3, HOPPER)
    assert blocks == 132
    assert slots == 1
    found = planned(CellSpec(64, 1), (8, 8, 12), 50, HOPPER)
    blocks, slots = found.backward.summing_grid(50, 768, HOPPER)
    assert blocks % slots == 0
    assert blocks <= 132
    assert slots > 1
