"""What is tried next, whatever became of the sweep before. Nothing is trained here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from core_engine.errors import CheckpointError
from core_engine.sweep.journal import JOURNAL_FILE, Journal
from core_engine.sweep.plan import Plan
from core_engine.sweep.report import Outcome

MakePlan = Callable[..., Plan]
Values = Mapping[str, Any]


def end(journal: Journal, trial: optuna.Trial, values: Values, score: float | None) -> None:
    state: Any = "failed" if score is None else "finished"
    error = "it broke" if score is None else None
    journal.end(trial, Outcome(trial.number, values, state, score, journal.folder / f"run-{trial.number}", error))


def make(journal: Journal, score: Callable[[Values], float | None], most: int = 1000) -> list[Values]:
    """Makes trials that score so, and returns their values."""
    made: list[Values] = []
    while len(made) < most and (chosen := journal.next()) is not None:
        trial, values = chosen
        end(journal, trial, values, score(values))
        made.append(values)
    return made


def distance(values: Values) -> float:
    return -abs(float(values["train.optimizer.lr"]) - 0.003)


def test_a_grid_is_tried_once_each(plan_of: MakePlan, tmp_path: Path) -> None:
    plan = plan_of("train.epochs=1,2,3", "seed=5,6")
    made = make(Journal(tmp_path, plan), lambda values: 0.5)
    assert made == list(plan.space.combinations())
    assert make(Journal(tmp_path, plan), lambda values: 0.5) == []


@pytest.mark.parametrize("words", [["train.epochs=1,2,3", "seed=5,6"], ["train.epochs=1..9", "seed=5,6"]])
def test_a_sweep_that_is_reopened_before_each_trial_makes_the_same(
    plan_of: MakePlan, tmp_path: Path, words: list[str]
) -> None:
    plan = plan_of(*words, trials=None if ".." not in words[0] else 16)
    (tmp_path / "straight").mkdir()
    straight = make(Journal(tmp_path / "straight", plan), lambda values: float(values["train.epochs"]))
    (tmp_path / "reopened").mkdir()
    reopened: list[Values] = []
    for _ in range(plan.trials):
        journal = Journal(tmp_path / "reopened", plan)
        interrupted = journal.next()  # and killed
        assert interrupted is not None
        journal = Journal(tmp_path / "reopened", plan)
        chosen = journal.next()
        assert chosen is not None
        trial, values = chosen
        assert (trial.number, values) == (interrupted[0].number, interrupted[1])
        end(journal, trial, values, float(values["train.epochs"]))
        reopened.append(values)
    assert reopened == straight
    assert Journal(tmp_path / "reopened", plan).next() is None


def test_a_journal_cut_anywhere_loses_no_combination(plan_of: MakePlan, tmp_path: Path) -> None:
    """A crash may leave any number of whole lines, and a part of one."""
    plan = plan_of("train.epochs=1,2,3", "seed=5,6")
    make(Journal(tmp_path, plan), lambda values: 0.5)
    written = (tmp_path / JOURNAL_FILE).read_bytes()
    for size in range(0, len(written), 97):
        (folder := tmp_path / str(size)).mkdir()
        (folder / JOURNAL_FILE).write_bytes(written[:size])
        make(Journal(folder, plan), lambda values: 0.5)
        outcomes = Journal(folder, plan).report().outcomes
        assert [one.values for one in outcomes] == list(plan.space.combinations()), size


def test_trials_of_ranges_lie_within_and_come_near(plan_of: MakePlan, tmp_path: Path) -> None:
    plan = plan_of(
        "train.optimizer.lr=log:1e-5..1e-1", "lattice.kernel.hidden=16..24", "mode={type: dialogue}", trials=40
    )
    made = make(Journal(tmp_path, plan), distance)
    assert len(made) == 40
    assert all(1e-5 <= values["train.optimizer.lr"] <= 1e-1 for values in made)
    assert all(values["lattice.kernel.hidden"] in range(16, 25) for values in made)
    assert min(values["train.optimizer.lr"] for values in made) < 1e-4, "a logarithmic scale reaches small rates"
    after = [abs(distance(values)) for values in made[20:]]
    assert sum(after) / len(after) < 0.01, "the last ones are near the best that was found"


def test_another_seed_tries_others(plan_of: MakePlan, tmp_path: Path) -> None:
    made = []
    for seed in (0, 1):
        (folder := tmp_path / str(seed)).mkdir()
        made.append(make(Journal(folder, plan_of("train.epochs=1..900", f"seed={seed}", trials=5)), lambda values: 0.5))
    assert made[0] != made[1]
    assert len({values["train.epochs"] for values in made[0]}) == 5, "each trial draws anew"


@pytest.mark.parametrize(("monitor", "best"), [("mrr@10", 3), ("loss", 1)])
def test_the_winner_is_the_best_by_the_monitor(plan_of: MakePlan, tmp_path: Path, monitor: str, best: int) -> None:
    plan = plan_of("train.epochs=1,2,3,4", f"train.monitor={monitor}")
    journal = Journal(tmp_path, plan)
    make(journal, lambda values: None if values["train.epochs"] == "4" else float(values["train.epochs"]))
    report = journal.report()
    assert report.complete
    assert report.winner is not None
    assert report.winner.values == {"train.epochs": str(best)}
    assert [one.score for one in report.outcomes] == [*sorted([1.0, 2.0, 3.0], reverse=best == 3), None]
    failed = report.outcomes[-1]
    assert (failed.state, failed.error, failed.run_dir) == ("failed", "it broke", tmp_path / "run-3")


def test_equals_come_in_the_order_in_which_they_were_made(plan_of: MakePlan, tmp_path: Path) -> None:
    journal = Journal(tmp_path, plan_of("train.epochs=1,2,3"))
    make(journal, lambda values: 0.5)
    assert [one.number for one in journal.report().outcomes] == [0, 1, 2]


def test_a_report_of_a_sweep_that_is_under_way(plan_of: MakePlan, tmp_path: Path) -> None:
    plan = plan_of("train.optimizer.lr=1e-3,3e-3", "loss=[{type: mse}],[{type: cosine}]")
    journal = Journal(tmp_path, plan)
    make(journal, lambda values: None, most=1)
    make(journal, lambda values: 0.5, most=1)
    journal.next()
    report = journal.report()
    assert not report.complete
    report.write()
    told = json.loads((tmp_path / "sweep.json").read_text())
    assert (told["planned"], told["monitor"], told["direction"], told["winner"]) == (4, "mrr@10", "max", None)
    assert [(one["number"], one["state"], one["error"]) for one in told["trials"]] == [
        (1, "finished", None),
        (0, "failed", "it broke"),
        (2, "unfinished", None),
    ]
    assert told["trials"][1]["values"] == {"train.optimizer.lr": 0.001, "loss": "[{type: mse}]"}


def test_a_damaged_journal_is_named(plan_of: MakePlan, tmp_path: Path) -> None:
    plan = plan_of("train.epochs=1,2")
    make(Journal(tmp_path, plan), lambda values: 0.5)
    path = tmp_path / JOURNAL_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"x\n", *lines[3:]]))
    with pytest.raises(CheckpointError, match=f"{JOURNAL_FILE}: damaged"):
        Journal(tmp_path, plan)
