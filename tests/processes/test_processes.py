"""Several processes: what one computes, only faster; what is left when one of them dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def torchrun(processes: int, *command: object, restarts: int = 0) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--max-restarts", restarts]
    return [str(word) for word in (sys.executable, *launcher, "--nproc-per-node", processes, *command)]


def ended(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


Curve = Callable[[int, str], dict[str, Any]]


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> Curve:
    """What tests/processes/loss_curve.py prints, as so many processes."""
    known: dict[tuple[int, str], dict[str, Any]] = {}

    def of(processes: int, dtype: str) -> dict[str, Any]:
        if (processes, dtype) not in known:
            folder = tmp_path_factory.mktemp("curve")
            printed = ended(torchrun(processes, HERE / "loss_curve.py", folder, dtype), folder)
            known[processes, dtype] = json.loads(printed.splitlines()[-1])
        return known[processes, dtype]

    return of


@pytest.mark.parametrize(
    ("processes", "dtype", "tolerance"), [(2, "float64", 1e-9), (3, "float64", 1e-9), (2, "float32", 1e-4)]
)
def test_the_loss_curve_is_that_of_one_process(curve: Curve, processes: int, dtype: str, tolerance: float) -> None:
    """In-batch and hard negatives, dropout, noise and average included."""
    one, several = curve(1, dtype), curve(processes, dtype)
    assert len(one["losses"]) == 50
    assert one["losses"][0] > 1.2 * one["losses"][-1], "it must train for the comparison to say anything"
    assert several["losses"] == pytest.approx(one["losses"], rel=tolerance, abs=tolerance)
    assert several["weights"] == pytest.approx(one["weights"], rel=tolerance, abs=tolerance)
    assert several["evaluations"] == pytest.approx(one["evaluations"], abs=tolerance)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The noisy autoencoder on the shipped pairs."""
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"extends: {ROOT / 'configs/autoencoder.yaml'}\n"
        "evaluation: {baselines: [identity]}\n"
        "train: {epochs: 12, evaluate_every: 4, checkpoints: {every_steps: 4}}\n"
    )
    return path


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], dict[str, Any]]:
    """The result of the recipe as one process, computed once."""
    known: list[dict[str, Any]] = []

    def of(recipe: Path) -> dict[str, Any]:
        if not known:
            command = [sys.executable, "-m", "core_engine", "run", str(recipe), "--json"]
            known.append(json.loads(ended(command, tmp_path_factory.mktemp("straight"))))
        return known[0]

    return of


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """Reads on to the line that holds the words, and returns it."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"ended with {process.wait()} before it said {words!r}")


def same_core(one: dict[str, Any], other: dict[str, Any]) -> None:
    """To float32 rounding: several processes add up the same gradients in another order."""
    first, second = (
        load_file(next(Path(result["run_dir"]).glob("checkpoints/best-*/core.safetensors"))) for result in (one, other)
    )
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=1e-3, atol=1e-4)
    assert one["test"]["mrr@10"] == pytest.approx(other["test"]["mrr@10"], abs=0.02)


@pytest.mark.slow
def test_four_processes_are_gone_on_with_by_two(
    recipe: Path, tmp_path: Path, straight: Callable[[Path], dict[str, Any]]
) -> None:
    with subprocess.Popen(
        torchrun(4, "-m", "core_engine", "run", recipe),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert "processes=4" in wait_for(process, "run started")
        wait_for(process, "epoch")
        process.send_signal(signal.SIGTERM)  # torchrun passes it on
        assert process.stderr is not None
        rest = process.stderr.read()
        assert process.wait() != 0
    assert "stopped; go on with" in rest, rest
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 1
    assert not (folders[0] / "result.json").exists()
    printed = ended(torchrun(2, "-m", "core_engine", "run", recipe, "--resume", "auto", "--json"), tmp_path)
    resumed = json.loads(printed)  # one object: the second process prints nothing
    assert Path(resumed["run_dir"]).name == folders[0].name
    same_core(straight(recipe), resumed)


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_the_run_ends_the_same(
    recipe: Path, tmp_path: Path, straight: Callable[[Path], dict[str, Any]]
) -> None:
    with subprocess.Popen(
        torchrun(2, "-m", "core_engine", "run", recipe, "--resume", "auto", "--json", restarts=1),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
    ) as process:
        wait_for(process, "run started")
        wait_for(process, "epoch")
        workers = subprocess.run(
            ["ps", "--ppid", str(process.pid), "-o", "pid="], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        wait_for(process, "run resumed")
        printed, rest = process.communicate()
        assert process.returncode == 0, rest
    assert len(list((tmp_path / "runs").iterdir())) == 1
    same_core(straight(recipe), json.loads(printed))


def test_restarts_that_could_only_hang_are_refused(recipe: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        torchrun(2, "-m", "core_engine", "run", recipe, restarts=1),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_dead_process_is_told_of_by_the_other(recipe: Path, tmp_path: Path) -> None:
    """Without a launcher that would end the others too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "core_engine", "run", str(recipe)],
            cwd=tmp_path,
            env=os.environ
            | {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for rank in (0, 1)
    ]
    first, second = processes
    try:
        wait_for(first, "epoch")
        second.kill()
        _, said = first.communicate(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert first.returncode == 2
    assert "process 0: another of the 2 processes has ended" in said
    assert "--resume" in said
    assert "Traceback" not in said
    run_dir = next((tmp_path / "runs").iterdir())
    assert list(run_dir.glob("checkpoints/step-*")), "what it had saved is there to go on from"
