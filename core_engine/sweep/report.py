"""What a sweep came to, as far as it is: what ``sweep.json`` and ``sweep --json`` hold."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from core_engine.recipe.yaml_source import resolve
from core_engine.run.folder import LOCK_FILE, write_atomically
from core_engine.run.result import json_safe, read_result
from core_engine.sweep.plan import Plan
from core_engine.sweep.space import Value

SWEEP_FILE = "sweep.json"

#: Version of sweep.json.
SWEEP_FORMAT = 1

State = Literal["finished", "failed", "unfinished"]


@frozen
class Outcome:
    """One trial. ``score``: the monitored metric of the validation split, of a finished one; ``error``: why it failed.
    ``run_dir``: None where there is none, or none yet.
    """

    number: int
    values: Mapping[str, Value]
    state: State
    score: float | None = None
    run_dir: Path | None = None
    error: str | None = None


@frozen
class Report:
    """``outcomes``: best first, then those without a score, in the order in which they were made."""

    folder: Path
    plan: Plan
    outcomes: list[Outcome]

    @property
    def winner(self) -> Outcome | None:
        """The best one, when all have ended: not before, since its test figures are looked at."""
        if not self.complete:
            return None
        return next((outcome for outcome in self.outcomes if outcome.state == "finished"), None)

    @property
    def complete(self) -> bool:
        """Whether every trial that was planned has come to an end, of either kind."""
        return sum(outcome.state != "unfinished" for outcome in self.outcomes) >= self.plan.trials

    def command(self, outcome: Outcome) -> str:
        """Runs the trial once more, beside its baselines, as a run of its own."""
        words = self.plan.space.overrides(outcome.values)
        return shlex.join(["core-engine", "run", str(self.folder / LOCK_FILE), *words])

    def test(self, outcome: Outcome) -> dict[str, Any]:
        """What a finished trial scored on the test split: to be asked of the winner alone, since nothing may be chosen
        by it.
        """
        assert outcome.run_dir is not None  # noqa: S101  (for mypy: a finished trial has a folder)
        figures: dict[str, Any] = read_result(outcome.run_dir)["test"]
        return figures

    def to_dict(self) -> dict[str, Any]:
        plan, winner = self.plan, self.winner
        return {
            "format": SWEEP_FORMAT,
            "sweep_dir": str(self.folder),
            "words": plan.space.given,
            "started_in": str(plan.started_in),
            "planned": plan.trials,
            "monitor": plan.monitor.metric,
            "direction": "max" if plan.monitor.maximise else "min",
            "trials": [_trial(outcome) for outcome in self.outcomes],
            "winner": None
            if winner is None
            else {**_trial(winner), "test": self.test(winner), "command": self.command(winner)},
        }

    def to_json(self) -> str:
        return json.dumps(json_safe(self.to_dict()), indent=2, allow_nan=False) + "\n"

    def write(self) -> None:
        write_atomically(self.folder / SWEEP_FILE, self.to_json())


def _trial(outcome: Outcome) -> dict[str, Any]:
    return {
        "number": outcome.number,
        "values": {key: _plain(value) for key, value in outcome.values.items()},
        "state": outcome.state,
        "validation": outcome.score,
        "run_dir": None if outcome.run_dir is None else str(outcome.run_dir),
        "error": outcome.error,
    }


def _plain(value: Value) -> Any:
    """Numbers and names as such; lists, mappings and what is quoted as it was written."""
    return resolve(value) if isinstance(value, str) else value
