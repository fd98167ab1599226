"""Mistakes planted in the CUDA source: the comparison with the reference must notice each."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest
from core_engine_kernels.fused_cuda.plan import Gpu
from core_engine_kernels.fused_cuda.variants import SOURCE
from core_engine_kernels.stencil.spec import CellSpec
from cuda_cases import CudaCase, errors, make_case, matched, run_backward, run_forward
from cuda_emulator import GPU, Emulator, EmulatorError
from torch import Tensor

STEPWISE = Gpu(GPU.multiprocessors, GPU.shared, resident=False)
RESIDENT_CASE = make_case(CellSpec(16, 3, 64, state_noise=0.1), (3, 5, 7), 3, 3)
GATED_CASE = make_case(CellSpec(16, 3, 32, update="gated", boundary="periodic"), (3, 5, 7), 2, 2)
STEP_CASE = make_case(CellSpec(32, 3, 32), (2, 3, 4), 12, 2)
WIDE_CASE = make_case(CellSpec(32, 3, 64), (2, 3, 4), 3, 2)
LARGE_CASE = make_case(CellSpec(16, 3, 64), (5, 6, 12), 1, 1)
CASES = {
    "resident": (RESIDENT_CASE, GPU),
    "gated": (GATED_CASE, GPU),
    "stepwise": (STEP_CASE, STEPWISE),
    "wide": (WIDE_CASE, GPU),
    "large": (LARGE_CASE, GPU),
}

BARRIER = "barrier();"
# name: case, file, text, which occurrence of it, what it becomes
MUTANTS = {
    "neighbours along z swapped": ("resident", "lattice.cuh", "return k & 1 ? -step : step;", 0, "return step;"),
    "plane stride": ("resident", "lattice.cuh", "k < 3 ? y * z :", 0, "k < 3 ? x * z :"),
    "boundary mask": ("resident", "lattice.cuh", "(at_y == y - 1) << 4", 0, "0"),
    "wrap": ("gated", "lattice.cuh", "stride * (1 - length)", 0, "stride * (2 - length)"),
    "gather wraps": ("stepwise", "lattice.cuh", "if (!beyond || lattice.periodic)", 0, "if (true)"),
    "opposite direction": ("resident", "backward_resident.cuh", "opposite(k)", 0, "k"),
    "opposite direction, stepwise": ("stepwise", "backward_step_states.cuh", "opposite(k)", 0, "k"),
    "swapped fragment half": (
        "resident",
        "network.cuh",
        "a[1] = pack(sums[2 * kk][2]",
        0,
        "a[1] = pack(sums[2 * kk][0]",
    ),
    "columns of a factor": ("resident", "network.cuh", "(lane_index() >> 3) & 1", 0, "lane_index() >> 4"),
    "weight gradient row": ("resident", "backward.cuh", "fragment_row() + (r >> 1) * 8", 0, "fragment_row()"),
    "weight gradient factor": (
        "resident",
        "backward.cuh",
        "(lane_index() >> 4) * 8, factor_chunk",
        0,
        "8, factor_chunk",
    ),
    "weight gradient owner": ("wide", "backward.cuh", "+ owned * OWNERS", 0, "+ owned"),
    "drive column": ("resident", "network.cuh", "DRIVE + column + fragment_column()", 0, "DRIVE + column"),
    "position block": ("resident", "network.cuh", "part * POSITION_BLOCK + (", 0, "("),
    "position of another cell": ("resident", "network.cuh", "used ? span.cell(row) : 0", 0, "used ? row / 2 : 0"),
    "derivative": ("resident", "functions.cuh", "probability + 0.3989422804f", 0, "probability + 0.35f"),
    "gate's derivative": ("gated", "backward.cuh", "first * gate * (1.0f - gate)", 0, "first * gate"),
    "noise of another step": ("resident", "functions.cuh", "first_step + step),", 0, "first_step),"),
    "noise pair": ("resident", "functions.cuh", "radius * cosine, radius * sine", 0, "radius * sine, radius * cosine"),
    "kept state": ("resident", "forward_resident.cuh", "(step / every - 1)", 0, "(step / every - 1) / 2"),
    "weight gradient of the update": (
        "resident",
        "backward.cuh",
        "column < INPUT_COLUMNS) {\n                    mult",
        0,
        "true) {\n                    mult",
    ),
    "swapped chunks": ("resident", "memory.cuh", "(row >> 2) & 1", 0, "(row >> 2) & 2"),
    "forward barrier before reading": ("resident", "forward_resident.cuh", BARRIER, 0, ";"),
    "forward barrier before writing": ("resident", "forward_resident.cuh", BARRIER, 1, ";"),
    "backward barrier after states": ("resident", "backward_resident.cuh", BARRIER, 0, ";"),
    "backward barrier after dz": ("resident", "backward_resident.cuh", BARRIER, 1, ";"),
    "backward barrier after sums": ("large", "backward_resident.cuh", BARRIER, 2, ";"),
    "step barrier after gather": ("stepwise", "forward_step.cuh", BARRIER, 0, ";"),
    "step barrier before gather": ("stepwise", "forward_step.cuh", BARRIER, 1, ";"),
    "backward step barrier after gather": ("stepwise", "backward_step.cuh", BARRIER, 0, ";"),
    "backward step barrier after dz": ("stepwise", "backward_step.cuh", BARRIER, 1, ";"),
    "backward step barrier before gather": ("stepwise", "backward_step.cuh", BARRIER, 2, ";"),
    "second sweep barrier after gather": ("stepwise", "backward_step_states.cuh", BARRIER, 0, ";"),
    "second sweep barrier before gather": ("stepwise", "backward_step_states.cuh", BARRIER, 1, ";"),
    "shared memory too small": (
        "resident",
        "forward_resident.cuh",
        "rows<CHANNELS>(rows + 1)",
        0,
        "rows<CHANNELS>(rows)",
    ),
}


def passes(case: CudaCase, emulator: Emulator) -> bool:
    """Whether every result is within 1e-3 of the reference with the same roundings."""
    try:
        forward = run_forward(emulator, case)
        # Where forward is wrong already, backward need not be compiled.
        return _close(forward, case) and _close(run_backward(emulator, case, forward["kept"]), case)
    except EmulatorError:
        return False


def _close(given: dict[str, Tensor], case: CudaCase) -> bool:
    wanted = {name: value for name, value in _wanted(case).items() if name in given}
    return max(errors(given, wanted).values()) <= 1e-3


@functools.cache
def _wanted(case: CudaCase) -> dict[str, Tensor]:
    return matched(case)


def test_the_source_itself_passes(emulator_folder: Path) -> None:
    for case, gpu in CASES.values():
        assert passes(case, Emulator(emulator_folder, 1, gpu))


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str, emulator_folder: Path, tmp_path: Path) -> None:
    case, file, text, which, becomes = MUTANTS[name]
    source = tmp_path / "source"
    shutil.copytree(SOURCE, source)
    parts = (source / file).read_text().split(text)
    assert len(parts) > which + 1, f"{file} no longer has {text!r}; plant the mistake anew"
    parts[which : which + 2] = [parts[which] + becomes + parts[which + 1]]
    (source / file).write_text(text.join(parts))
    chosen, gpu = CASES[case]
    # A race shows in some orders only.
    assert not all(passes(chosen, Emulator(emulator_folder, seed, gpu, source)) for seed in (1, 2, 3))
