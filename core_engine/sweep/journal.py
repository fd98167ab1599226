"""The trials of a sweep, kept in Optuna's journal; Optuna chooses the values of those that come."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from core_engine.errors import CheckpointError, PluginError
from core_engine.randomness import derive_seed
from core_engine.sweep.plan import Plan
from core_engine.sweep.report import Outcome, Report, State
from core_engine.sweep.space import Choices, Range, Value

try:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler, TPESampler
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    from optuna.trial import FrozenTrial, TrialState
except ImportError as missing:
    raise PluginError(f'a sweep needs the package optuna: pip install "core-engine[sweep]" ({missing})') from missing

JOURNAL_FILE = "trials.journal"

_STATES: Mapping[TrialState, State] = {TrialState.COMPLETE: "finished", TrialState.FAIL: "failed"}


@define
class Journal:
    """The journal in the sweep's folder, made where it is not there. One process at a time may have it open."""

    folder: Path
    plan: Plan
    _study: optuna.Study = field(init=False)

    def __attrs_post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # the engine's own log says what happens
        path = self.folder / JOURNAL_FILE
        _cut_torn_line(path)
        try:
            self._study = optuna.create_study(
                study_name="sweep",
                storage=JournalStorage(JournalFileBackend(str(path), _NoLock(str(path)))),
                direction="maximize" if self.plan.monitor.maximise else "minimize",
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path}: damaged: {error!r}") from error

    def next(self) -> tuple[optuna.Trial, dict[str, Value]] | None:
        """One that was not brought to its end, or a new one, with its values; None where all are made.

        What is chosen for a trial depends on its number and on the trials before it, so that a sweep that is gone on
        with makes the trials that it would have made.
        """
        trials = self._study.get_trials(deepcopy=False)
        unfinished = [trial for trial in trials if not trial.state.is_finished()]
        if not unfinished and len(trials) >= self.plan.trials:
            return None
        self._study.sampler = self._sampler(unfinished[0].number if unfinished else len(trials))
        trial = optuna.Trial(self._study, unfinished[0]._trial_id) if unfinished else self._study.ask()
        return trial, {word.key: _suggest(trial, word) for word in self.plan.space.searched}

    def _sampler(self, number: int) -> BaseSampler:
        space = self.plan.space
        if space.is_grid:
            return _Given(next(itertools.islice(space.combinations(), number, None)))
        return TPESampler(seed=derive_seed(self.plan.recipe.seed, "sweep", number) % 2**32)

    def end(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Keeps how the trial ended."""
        if outcome.run_dir is not None:
            trial.set_user_attr("run", outcome.run_dir.name)
        if outcome.state == "finished":
            self._study.tell(trial, outcome.score)
        else:
            trial.set_user_attr("error", outcome.error)
            self._study.tell(trial, state=TrialState.FAIL)

    def report(self) -> Report:
        outcomes = [self._outcome(trial) for trial in self._study.get_trials(deepcopy=False)]
        sign = -1 if self.plan.monitor.maximise else 1
        outcomes.sort(key=lambda one: (one.score is None, sign * (one.score or 0.0)))
        return Report(self.folder, self.plan, outcomes)

    def _outcome(self, trial: FrozenTrial) -> Outcome:
        run = trial.user_attrs.get("run")
        return Outcome(
            number=trial.number,
            values={word.key: trial.params[word.key] for word in self.plan.space.searched if word.key in trial.params},
            state=_STATES.get(trial.state, "unfinished"),
            score=trial.value,
            run_dir=None if run is None else self.folder / run,
            error=trial.user_attrs.get("error"),
        )


def _suggest(trial: optuna.Trial, word: Choices | Range) -> Value:
    if isinstance(word, Choices):
        return trial.suggest_categorical(word.key, word.values)
    if isinstance(word.low, int) and isinstance(word.high, int):
        return trial.suggest_int(word.key, word.low, word.high, log=word.log)
    return trial.suggest_float(word.key, word.low, word.high, log=word.log)


class _Given(BaseSampler):
    """Chooses what it was given."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._values[param_name]


class _NoLock(JournalFileOpenLock):
    """The folder has one owner already, and a lock file would outlive a process that is killed."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _cut_torn_line(path: Path) -> None:
    """The last line, where a crash left it without its end: what is written next would be lost with it."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
