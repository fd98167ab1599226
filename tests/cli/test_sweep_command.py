"""``core-engine sweep`` through the installed command, on the shipped pairs with the real teacher."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core_engine.run.owner import sole_owner

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "configs/quickstart.yaml"
PROGRAM = Path(sys.executable).with_name("core-engine")
Cli = Callable[..., "subprocess.CompletedProcess[str]"]

SHORT = ("train.epochs=1", "device=cpu")


def only_sweep(folder: Path) -> Path:
    (found,) = (folder / "runs").iterdir()
    return found


def runs(sweep: Path) -> list[str]:
    return sorted(path.name for path in sweep.iterdir() if path.is_dir())


def documented_commands() -> list[str]:
    (block,) = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/sweeps.md").read_text(), re.DOTALL | re.MULTILINE)
    return [line for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def grid(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The first sweep of the documentation, as a user sees it."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "configs").symlink_to(ROOT / "configs")
    program, *words = shlex.split(documented_commands()[0])
    assert program == "core-engine"
    return folder, cli(*words, "-q", cwd=folder)


def test_a_grid_ends_in_a_table_with_the_best_first(grid: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = grid
    assert done.stderr == "", "neither Optuna nor a warning says anything"
    head, _, *lines = done.stdout.splitlines()
    assert head.split() == [
        *("trial", "train.optimizer.lr", "lattice.kernel.hidden", "validation", "mrr@10", "run", "folder")
    ]
    rows = [line.split() for line in lines[:4]]
    assert {(row[1], row[2]) for row in rows} == {(lr, hidden) for lr in ("1e-3", "3e-3") for hidden in ("32", "64")}
    scores = [float(row[3]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    sweep = only_sweep(folder)
    assert f"sweep folder: {sweep}" in lines
    assert sorted(row[4] for row in rows) == runs(sweep)
    for row in rows:
        result = json.loads((sweep / row[4] / "result.json").read_text())
        assert f"{result['validation']['mrr@10']:.4f}" == row[3]
        assert result["baselines"] == {}
    assert done.stdout.count("on the test split") == 1, "of the winner alone"


def test_the_winners_command_runs_the_winner(
    cli: Cli, grid: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, done = grid
    told = json.loads((only_sweep(folder) / "sweep.json").read_text())
    winner = told["winner"]
    assert winner["number"] == told["trials"][0]["number"]
    program, *words = shlex.split(winner["command"])
    assert f"beside its baselines: {winner['command']}" in done.stdout
    assert (program, words[0]) == ("core-engine", "run")
    again = cli(*words, "evaluation.baselines=[identity]", f"output={tmp_path}", "--json")
    result = json.loads(again.stdout)
    assert result["test"] == winner["test"]
    assert result["validation"]["mrr@10"] == winner["validation"]


def test_a_sweep_that_has_ended_is_told_again_and_nothing_is_trained(
    cli: Cli, grid: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    sweep = only_sweep(grid[0])
    before = (sweep / "sweep.json").read_text()
    again = cli("sweep", "--resume", sweep, "--json")
    assert again.stdout == before == (sweep / "sweep.json").read_text()
    assert len(runs(sweep)) == 4


def test_a_range_makes_as_many_trials_as_asked_for(cli: Cli, tmp_path: Path) -> None:
    words = (*SHORT, "train.optimizer.lr=log:1e-4..1e-2", "lattice.kernel.hidden=8..12", "train.monitor=loss")
    report = json.loads(cli("sweep", QUICKSTART, *words, "--trials", 3, "--json", cwd=tmp_path).stdout)
    assert (report["planned"], report["direction"], len(report["trials"])) == (3, "min", 3)
    for trial in report["trials"]:
        assert 1e-4 <= trial["values"]["train.optimizer.lr"] <= 1e-2
        assert trial["values"]["lattice.kernel.hidden"] in range(8, 13)
        lock = (Path(trial["run_dir"]) / "recipe.lock.yaml").read_text()
        assert f"lr: {trial['values']['train.optimizer.lr']}" in lock
    scores = [trial["validation"] for trial in report["trials"]]
    assert scores == sorted(scores)
    assert json.loads((only_sweep(tmp_path) / "sweep.json").read_text()) == report


@pytest.mark.slow
def test_a_signal_stops_at_a_step_and_the_sweep_goes_on(cli: Cli, tmp_path: Path) -> None:
    words = ("device=cpu", "train.epochs=40", "train.evaluate_every=10", "seed=1,2")
    command = [PROGRAM, "sweep", QUICKSTART, *words, "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        started = 0
        for line in process.stderr:
            started += "run started" in line
            if started == 2 and " evaluation " in line:  # in the middle of the second trial
                break
        process.send_signal(signal.SIGTERM)
        output, rest = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, rest
    assert "Traceback" not in rest
    assert output == ""
    sweep = only_sweep(tmp_path)
    how = f"core-engine: stopped; go on with: core-engine sweep --resume {sweep}"
    assert rest.splitlines()[-1] == how
    stopped = json.loads((sweep / "sweep.json").read_text())
    assert [trial["state"] for trial in stopped["trials"]] == ["finished", "unfinished"]
    before = runs(sweep)
    assert len(before) == 2
    resumed = cli(*shlex.split(how.split("core-engine ")[-1]), "--json")
    assert "run resumed" in resumed.stderr
    assert "run started" not in resumed.stderr
    report = json.loads(resumed.stdout)
    assert runs(sweep) == before
    assert {trial["state"] for trial in report["trials"]} == {"finished"}
    straight = json.loads(cli("run", sweep / "recipe.lock.yaml", "seed=2", "--json", "evaluation.baselines=[]").stdout)
    (second,) = [trial for trial in report["trials"] if trial["number"] == 1]
    assert straight["validation"]["mrr@10"] == second["validation"]


def test_a_trial_that_finished_unnoticed_is_not_made_again(
    cli: Cli, grid: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """As where the sweep is killed after a run has written its result, and before the journal has it."""
    sweep = tmp_path / "moved"
    subprocess.run(["cp", "-r", only_sweep(grid[0]), sweep], check=True)
    journal = sweep / "trials.journal"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-2]))
    before = runs(sweep)
    done = cli("sweep", "--resume", sweep, "--json")
    assert "run started" not in done.stderr
    assert runs(sweep) == before
    report = json.loads(done.stdout)
    first = json.loads((only_sweep(grid[0]) / "sweep.json").read_text())
    assert [trial["validation"] for trial in report["trials"]] == [trial["validation"] for trial in first["trials"]]
    assert all(Path(trial["run_dir"]).parent == sweep for trial in report["trials"])


def test_a_trial_that_fails_is_named_and_the_sweep_goes_on(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        *("sweep", QUICKSTART, *SHORT, "train.clip_norm=null", "train.batch_size=8", "train.optimizer.lr=1000,1e-3"),
        cwd=tmp_path,
    )
    rows = [line.split() for line in done.stdout.splitlines()[2:4]]
    assert [row[:2] for row in rows] == [["1", "1e-3"], ["0", "1000"]]
    assert rows[1][2] == "failed"
    assert re.search(r"^trial 0 failed: the gradient of step \d+ .* is not finite", done.stdout, re.MULTILINE)
    assert "trial failed" in done.stderr
    told = json.loads((only_sweep(tmp_path) / "sweep.json").read_text())["trials"][1]
    assert (told["state"], told["validation"]) == ("failed", None)
    assert "is not finite" in told["error"]
    assert Path(told["run_dir"]).is_dir()


def test_where_all_fail_the_exit_code_says_so(cli: Cli, tmp_path: Path) -> None:
    words = (*SHORT, "lattice.backend=fused_cuda", "seed=1,2")
    done = cli("sweep", QUICKSTART, *words, "--json", cwd=tmp_path, code=1)
    report = json.loads(done.stdout)
    assert report["winner"] is None
    assert all("'fused_cuda' cannot compute this run" in trial["error"] for trial in report["trials"])


def test_a_trial_that_is_out_of_time_can_be_gone_on_with(cli: Cli, tmp_path: Path) -> None:
    done = cli("sweep", QUICKSTART, *SHORT, "train.max_time=0s", "seed=1,2", cwd=tmp_path, code=75)
    assert f"go on with: core-engine sweep --resume {only_sweep(tmp_path)}" in done.stderr
    assert len(runs(only_sweep(tmp_path))) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["train.optimizr.lr=1,2"], "override 'train.optimizr.lr=1': train.optimizr: unknown key; did you mean"),
        (["train.epochs=1,two"], "override 'train.epochs=two': train.epochs: expected an integer, not 'two'"),
        (["train.epochs=1"], "sweep: nothing to search; write a list such as"),
        (["train.epochs=1..3"], "core-engine: a range has no end of values: say how many trials to make"),
        (["train.epochs=1,2", "--trials", "3"], "core-engine: --trials 3: lists are tried in all 2 combinations"),
        (["train.epochs=1,2", "--resume", "x"], "core-engine: --resume takes recipe, values and trials from"),
    ],
)
def test_wrong_input_is_told_before_anything_is_made(
    cli: Cli, tmp_path: Path, arguments: list[str], problem: str
) -> None:
    done = cli("sweep", QUICKSTART, *arguments, cwd=tmp_path, code=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith(problem)
    assert list(tmp_path.iterdir()) == []


def test_neither_a_recipe_nor_a_sweep(cli: Cli, tmp_path: Path) -> None:
    assert "a sweep needs a recipe, or --resume" in cli("sweep", code=2).stderr
    assert "no sweep: there is no sweep.json in it" in cli("sweep", "--resume", tmp_path, code=2).stderr


def test_two_processes_do_not_make_one_sweep(cli: Cli, grid: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    sweep = only_sweep(grid[0])
    with sole_owner(sweep):
        assert "is at this run; wait for it" in cli("sweep", "--resume", sweep, code=2).stderr


def test_torchrun_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "start it without torchrun" in cli("sweep", QUICKSTART, "seed=1,2", code=2).stderr


def test_without_optuna_one_line_says_how_to_get_it(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path/optuna.py").write_text("raise ModuleNotFoundError(\"No module named 'optuna'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    (work := tmp_path / "work").mkdir()
    (line,) = cli("sweep", QUICKSTART, "seed=1,2", cwd=work, code=2).stderr.splitlines()
    assert line.startswith('core-engine: a sweep needs the package optuna: pip install "core-engine[sweep]"')
    assert list(work.iterdir()) == []
