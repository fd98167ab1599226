"""A hundred SIGKILLs at random moments of one training, with a checkpoint every second step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core_engine.assembly.prove import first_difference, state_of
from core_engine.training.checkpoint import newest_checkpoint

KILLS = 100


@pytest.mark.slow
def test_a_run_killed_a_hundred_times_ends_as_one_that_was_not(tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_often.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path, str(KILLS)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    killed, straight = map(json.loads, done.stdout.splitlines())
    assert killed["kills"] == KILLS
    # A try that was killed before its first checkpoint leaves nothing to go on from, and the next one starts anew.
    assert done.stderr.count("run resumed") + done.stderr.count("run started") == KILLS + 2
    assert done.stderr.count("run resumed") >= KILLS - 10
    assert "skipped" not in done.stderr, "no checkpoint was torn"
    states = [state_of(newest_checkpoint(Path(run["run_dir"]), "step")) for run in (killed, straight)]
    assert states[0]["step"] == 300
    assert first_difference(*states) is None
    left = {path.name for run in (killed, straight) for path in Path(run["run_dir"]).rglob(".*")}
    assert left == {".lock"}, "nothing half-written is left"
