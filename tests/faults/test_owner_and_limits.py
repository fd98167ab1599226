"""Two runs in one folder, an end that is announced, and a clock that is set back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_run import small_engine

from core_engine.assembly.prove import first_difference, state_of
from core_engine.training.checkpoint import newest_checkpoint

QUICKSTART = Path(__file__).parents[2] / "configs/quickstart.yaml"
PROGRAM = Path(sys.executable).with_name("core-engine")


def start(cwd: Path, *words: object) -> subprocess.Popen[str]:
    command = [str(PROGRAM), "run", str(QUICKSTART), "evaluation.baselines=[]", *map(str, words)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that takes long, and has begun."""
    with start(tmp_path, "train.epochs=100000", "train.checkpoints.every_steps=5") as process:
        assert process.stderr is not None
        assert any("run started" in line for line in process.stderr)

        deadline = time.monotonic() + 60
        while not any((tmp_path / "runs").glob("*/checkpoints/step-*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
        process.kill()


def test_two_runs_in_one_folder_are_refused_and_notice_of_an_end_is_taken(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    (run_dir,) = (tmp_path / "runs").iterdir()
    again = ("train.epochs=100000", "train.checkpoints.every_steps=5", "--resume", run_dir)
    with start(tmp_path, *again) as second:
        _, said = second.communicate()
    assert second.returncode == 2
    assert re.search(rf"{run_dir}: process {running.pid} on \S+ is at this run; wait for it, or stop it", said)
    running.send_signal(signal.SIGUSR1)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGUSR1
    assert "core-engine run" in said.splitlines()[-1]
    assert sorted(path.name for path in run_dir.iterdir() if path.name.startswith(".")) == [".lock"]
    with start(tmp_path, *again, "train.max_time=0.5s") as third:
        third.communicate()
    assert third.returncode == 75, "nobody is at it any more"


@pytest.mark.slow
def test_a_run_ends_with_its_time_and_goes_on_with_more(tmp_path: Path) -> None:
    words = ("train.epochs=30", "train.evaluate_every=30")
    with start(tmp_path, *words, "train.max_time=0.1s") as process:
        _, said = process.communicate()
    assert process.returncode == 75
    assert "train.max_time is over" in said
    run_dir = next((tmp_path / "runs").iterdir())
    assert (newest_checkpoint(run_dir, "step").step, (run_dir / "result.json").exists()) == (1, False)
    results = []
    for resume in (("--resume", "auto"), ()):
        with start(tmp_path, *words, "--json", *resume) as process:
            printed, said = process.communicate()
        assert process.returncode == 0, said
        results.append(json.loads(printed))
    assert results[0]["run_dir"].endswith(run_dir.name)
    assert results[0]["test"] == results[1]["test"]


def test_a_clock_that_is_set_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = small_engine(tmp_path / "straight")
    straight.run(should_stop=lambda step: step == 30)
    now = time.time()

    def jump(step: int) -> bool:
        """An hour back with every step, and what was written so far seems to be of tomorrow."""
        monkeypatch.setattr(time, "time", lambda: now - 3600 * step)
        for path in (tmp_path / "jumping").rglob("*"):
            os.utime(path, (now + 86400, now + 86400 - step))
        return step in (11, 30)

    for _ in range(2):
        jumping = small_engine(tmp_path / "jumping")
        assert jumping.run("auto", should_stop=jump) is None
    assert len(list((tmp_path / "jumping").iterdir())) == 1
    assert straight.run_dir is not None
    assert jumping.run_dir is not None
    states = [state_of(newest_checkpoint(folder, "step")) for folder in (straight.run_dir, jumping.run_dir)]
    assert states[0]["step"] == 30
    assert first_difference(*states) is None
