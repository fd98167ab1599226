"""``core-engine compare``, and the intervals of ``evaluate``."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core_engine_teachers.locate import locate_minilm

PAIRS = Path(__file__).parents[2] / "plugins/core_engine_data/quickstart.jsonl"
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def runs(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> tuple[str, str]:
    """A run, and one of the same recipe with another seed that has hardly trained."""
    (tmp_path / "short.yaml").write_text(f"extends: {finished_run['run_dir']}/recipe.lock.yaml\n")
    options = ["seed=5", "train.epochs=1", "train.optimizer.lr=1e-6", "evaluation.baselines=[]", "output=short"]
    done = cli("run", "short.yaml", *options, "--json", cwd=tmp_path)
    return str(finished_run["run_dir"]), str(tmp_path / json.loads(done.stdout)["run_dir"])


def test_runs_are_compared_row_by_row(cli: Cli, runs: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(PAIRS.read_text().splitlines()[:80]) + "\n")
    trained, short = runs
    done = cli("compare", trained, short, trained, "--data", "rows.jsonl", "--json", cwd=tmp_path)
    first, second, again = json.loads(done.stdout)
    alone = json.loads(cli("evaluate", short, "--data", "rows.jsonl", "--json", cwd=tmp_path).stdout)
    assert second["test"] == alone["test"]
    assert second["intervals"] == alone["intervals"]
    assert first["ahead"] == again["ahead"]
    assert set(first["ahead"]["mrr@10"]) == {0.0}
    for metric, (value, low, high) in second["ahead"].items():
        assert value == pytest.approx(second["test"][metric] - first["test"][metric], abs=1e-9)
        assert low <= value <= high
    value = second["ahead"]["mrr@10"][0]
    assert value, "the runs are not the same"
    for metric, (low, high) in first["intervals"].items():
        assert low < first["test"][metric] < high

    shown = cli("compare", trained, short, "--data", "rows.jsonl", cwd=tmp_path).stdout
    assert Path(short).name in shown
    assert f"{value:+.4f}" in shown
    assert "teachers" not in shown


def test_cosines_of_different_teachers_are_not_compared(cli: Cli, runs: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(PAIRS.read_text().splitlines()[:20]) + "\n")
    shutil.copytree(runs[1], tmp_path / "b")
    lock = tmp_path / "b/recipe.lock.yaml"
    before, rest = lock.read_text().split("teachers:\n")
    after = rest[rest.index("teacher: minilm\n") :]
    teacher = f"teachers:\n  minilm:\n    type: hf\n    model: {locate_minilm(None).path}\n    pooling: cls\n"
    lock.write_text(before + teacher + after)
    done = cli("compare", runs[1], "b", "--data", "rows.jsonl", "--json", cwd=tmp_path)
    first, second = json.loads(done.stdout)
    assert first["ahead"].keys() - second["ahead"].keys() == {"cosine"}
    assert second["test"]["cosine"] != first["test"]["cosine"]
    shown = cli("compare", runs[1], "b", "--data", "rows.jsonl", cwd=tmp_path).stdout
    assert "Not told between the spaces of different teachers" in " ".join(shown.split())


def test_runs_that_see_other_rows_cannot_be_compared(cli: Cli, runs: tuple[str, str], tmp_path: Path) -> None:
    """Though they see as many: one leaves out a short row, the other a long one."""
    for name, before, after in (("a", "min_chars: 1\n", "min_chars: 5\n"), ("b", "max_chars: null", "max_chars: 900")):
        shutil.copytree(runs[1], tmp_path / name)
        lock = tmp_path / name / "recipe.lock.yaml"
        assert before in lock.read_text()
        lock.write_text(lock.read_text().replace(before, after))
    few = [json.loads(line) for line in PAIRS.read_text().splitlines()[:20]]
    few[5]["question"], few[3]["answer"] = "Why?", "word " * 200
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in few))
    done = cli("compare", "a", "b", "--data", "rows.jsonl", cwd=tmp_path, code=2)
    assert "b sees other rows in rows.jsonl than a" in done.stderr


@pytest.mark.parametrize(
    ("columns", "what"), [("{question: answer, answer: question}", "targets"), ("{group: answer}", "groups")]
)
def test_runs_that_see_the_rows_otherwise_cannot_be_compared(
    cli: Cli, runs: tuple[str, str], tmp_path: Path, columns: str, what: str
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(PAIRS.read_text().splitlines()[:20]) + "\n")
    for name in ("a", "b"):
        shutil.copytree(runs[1], tmp_path / name)
    lock = tmp_path / "b/recipe.lock.yaml"
    source = "    type: quickstart\n"
    assert source in lock.read_text()
    other = f"    type: dialogues\n    path: {rows}\n    columns: {columns}\n"
    lock.write_text(lock.read_text().replace(source, other))
    for first, second in (("a", "b"), ("b", "a")):
        done = cli("compare", first, second, "--data", rows, code=2, cwd=tmp_path)
        assert f"{second} sees other {what} in {rows} than {first}" in done.stderr
