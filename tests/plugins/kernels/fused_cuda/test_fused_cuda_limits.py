"""What the kernels refuse, and in which words."""

from __future__ import annotations

import pytest
import torch
from core_engine_kernels.fused_cuda.limits import refusal, refusal_of_cell, refusal_of_size
from core_engine_kernels.fused_cuda.plan import Gpu
from core_engine_kernels.stencil.spec import CellSpec

HOPPER = Gpu(multiprocessors=132, shared=232448)


@pytest.mark.parametrize(
    ("spec", "dtype", "reason"),
    [
        (CellSpec(16, 1), torch.float64, "float32 or bfloat16, and this is torch.float64"),
        (CellSpec(16, 1, neighbours=26), torch.bfloat16, "26 neighbours: it computes 6"),
        (CellSpec(24, 1), torch.bfloat16, "24 channels: it computes 16, 32 or 64"),
        (CellSpec(16, 1, 48), torch.bfloat16, "a hidden layer of 48: it computes 32, 64 or 128"),
        (CellSpec(16, 1, dropout=0.1), torch.bfloat16, "dropout 0.1: in training only backend 'reference' computes it"),
        (CellSpec(16, 1, update_probability=0.5), torch.bfloat16, "update_probability 0.5: in training only"),
    ],
)
def test_cells_that_no_gpu_runs(spec: CellSpec, dtype: torch.dtype, reason: str) -> None:
    assert reason in str(refusal_of_cell(spec, dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cells_that_run(dtype: torch.dtype) -> None:
    for channels in (16, 32, 64):
        for hidden in (32, 64):
            spec = CellSpec(channels, 24, hidden, "silu", "gated", boundary="periodic", state_noise=0.1)
            assert refusal_of_cell(spec, dtype) is None
            assert refusal_of_size(spec, (8, 8, 12), 1024, 8, HOPPER) is None


def test_cells_too_wide_for_a_gpu() -> None:
    assert "registers" in str(refusal_of_size(CellSpec(64, 1, 128), (2, 2, 2), 1, 1, HOPPER))
    reason = refusal_of_size(CellSpec(64, 1), (8, 8, 12), 1, 1, Gpu(multiprocessors=170, shared=101376))
    assert "of shared memory and a block of this GPU has 101376" in str(reason)


def test_empty_rollouts() -> None:
    assert "one step of one sample, and this is 3 of 0" in str(
        refusal_of_size(CellSpec(16, 1), (2, 2, 2), 0, 3, HOPPER)
    )


def test_lattices_and_batches_beyond_32_bits() -> None:
    assert "32 bits" in str(refusal_of_size(CellSpec(16, 1), (1024, 1024, 256), 1, 1, HOPPER))
    assert "32 bits" in str(refusal_of_size(CellSpec(16, 1), (1, 1, 1), 2**30, 1, HOPPER))


def test_other_devices() -> None:
    case = (CellSpec(16, 1), (2, 2, 2), 1, 1, torch.float32)
    assert "CUDA devices, and this is cpu" in str(refusal(*case, torch.device("cpu")))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_no_gpu() -> None:
    case = (CellSpec(16, 1), (2, 2, 2), 1, 1, torch.float32)
    assert refusal(*case, torch.device("cuda")) == "PyTorch finds no CUDA device"
