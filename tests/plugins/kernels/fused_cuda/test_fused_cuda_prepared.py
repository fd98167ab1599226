"""Tensors that the kernels would take for something else."""

from __future__ import annotations

import pytest
from attrs import evolve
from core_engine_kernels.fused_cuda.prepared import prepare
from core_engine_kernels.stencil.spec import CellSpec
from cuda_cases import SEED, CudaCase, make_case
from cuda_emulator import GPU

from core_engine.errors import EngineError

CASE = make_case(CellSpec(16, 3), (2, 3, 4), 2, 2)


class NoLauncher:
    gpu = GPU

    def launch(self, *_: object) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (evolve(CASE, state=CASE.state.double()), "float32 or bfloat16, and this is torch.float64"),
        (evolve(CASE, parameters=[CASE.parameters[0][:32], *CASE.parameters[1:]]), r"parameters are \[\[32, 7, 16\]"),
        (evolve(CASE, sample_ids=CASE.sample_ids.int()), r"must be int64 \[2\], not torch.int32"),
        (evolve(CASE, sample_ids=CASE.sample_ids[:1]), r"must be int64 \[2\], not torch.int64 \[1\]"),
        (evolve(CASE, sample_ids=CASE.sample_ids.to("meta")), r"on cpu and a tensor \[2\] on meta"),
    ],
)
def test_misfits_are_refused(case: CudaCase, reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        prepare(NoLauncher(), case.spec, case.parameters, case.state, case.drive, case.sample_ids, SEED)
