"""What is compared is the same cell, and the figures say what they are."""

from __future__ import annotations

import json
from typing import Any

import kernels
import pytest
import torch
from kernel_peers import gather, padcat, padcat_by_convolution
from quiet import interleaved, peak_memory_mb

SETTING = kernels.Setting((3, 4, 5), 2, 8)


@pytest.mark.parametrize("peer", [padcat, gather, padcat_by_convolution])
def test_peers_compute_the_pinned_cell(peer: Any) -> None:
    problem = kernels.Problem.drawn(SETTING).in_double()
    forward, both = kernels.of_rollout(
        problem, lambda: peer(problem.state, problem.drive, list(problem.cell.parameters()), kernels.STEPS)
    )
    wanted = kernels.exact(kernels.Problem.drawn(SETTING))
    assert torch.equal(forward()[0], both()[0])
    for found, expected in zip(both(), wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("recipe_cell", [False, True])
@pytest.mark.parametrize("kernel", ["reference", "fused_cpu", "padcat"])
def test_errors_are_those_of_rounding(kernel: str, recipe_cell: bool) -> None:
    problem = kernels.Problem.drawn(kernels.Setting((3, 4, 5), 9, 8, recipe_cell))
    runs = kernels.contenders(kernel, problem)
    if isinstance(runs, str):
        pytest.skip(runs)
    wanted = kernels.exact(problem)
    assert len(wanted) == 1 + len(problem.leaves)
    errors = [kernels.relative_error(g, w) for g, w in zip(runs[1](), wanted, strict=True)]
    assert 0 < max(errors) < 1e-5


def test_work_is_counted_as_multiply_adds() -> None:
    pinned = kernels.Setting((8, 8, 12), 32, 16)
    assert pinned.forward_gflop == pytest.approx(2e-9 * 32 * 768 * (64 * (7 * 16 + 1) + 64 * 16))


def test_median_of_each_task_and_how_often_each_ran() -> None:
    ran = []
    seconds = interleaved({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, rounds=3)
    assert seconds.keys() == {"a", "b"}
    assert min(ran.count("a"), ran.count("b")) >= 4


def test_memory_of_a_call() -> None:
    kept = []
    found = peak_memory_mb(lambda: kept.append(torch.ones(25_000_000)))
    if found is None:
        pytest.skip("only Linux tells")
    assert 90 < found < 150


def test_json_has_a_row_for_each_kernel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(kernels, "DEFAULT", [SETTING])
    monkeypatch.setattr(kernels, "KERNELS", ("reference", "fused_cuda", "padcat"))
    monkeypatch.setattr(kernels, "memory_in_own_process", lambda *_: 1.0)
    monkeypatch.setattr("sys.argv", ["kernels.py", "--json", "--rounds", "1", "--threads", "1"])
    kernels.main()
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"fma_peak_gflops", "rows", "recipe_cell_rows"}
    reference, fused, padcat_row = found["rows"]
    assert reference["lattice"] == "3x4x5"
    assert padcat_row["fwd_ms"] > 0
    assert padcat_row["fb_ms"] > padcat_row["fwd_ms"]
    if not torch.cuda.is_available():
        assert fused["skipped"] == "no CUDA device on this machine"
