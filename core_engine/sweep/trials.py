"""Makes the trials of a sweep, one after the other, each a run of its own in the sweep's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import structlog
import torch

from core_engine.assembly.engine import Engine
from core_engine.errors import EngineError
from core_engine.host.host import PluginHost
from core_engine.run.folder import RESULT_FILE, run_label, unfinished_run
from core_engine.run.owner import sole_owner
from core_engine.run.result import read_result
from core_engine.sweep.journal import Journal
from core_engine.sweep.plan import Plan
from core_engine.sweep.report import Outcome, Report
from core_engine.sweep.space import Value

log = structlog.get_logger("core_engine.sweep")


def run_trials(folder: Path, plan: Plan, host: PluginHost, should_stop: Callable[[], bool]) -> Report:
    """Makes the trials that have no end yet, and writes the report after each. Ends early where ``should_stop``, asked
    after each optimiser step too, says so, or where a run is over its ``train.max_time``: call it again to go on.
    """
    with sole_owner(folder):
        journal = Journal(folder, plan)
        while not should_stop() and (chosen := journal.next()) is not None:
            trial, values = chosen
            log.info("trial started", number=trial.number, of=plan.trials, values=values)
            outcome = _run(folder, plan, trial.number, values, host, should_stop)
            if outcome.state == "unfinished":
                break
            if outcome.state == "failed":
                log.warning("trial failed", number=trial.number, reason=outcome.error)
            journal.end(trial, outcome)
            journal.report().write()
        report = journal.report()
        report.write()
        return report


def _run(
    folder: Path,
    plan: Plan,
    number: int,
    values: Mapping[str, Value],
    host: PluginHost,
    should_stop: Callable[[], bool],
) -> Outcome:
    outcome = Outcome(number, values, "unfinished")
    engine = None
    try:
        recipe = plan.recipe_with(values, host)
        recipe = attrs.evolve(recipe, name=f"{recipe.name}-trial-{number}", output=folder)
        label = run_label(recipe.name, recipe.control)
        # It may have finished, and the sweep been killed before it was told.
        run_dir = next((result.parent for result in folder.glob(f"{label}-*/{RESULT_FILE}")), None)
        if run_dir is None:
            engine = Engine.from_loaded(recipe, host)
            if engine.run(unfinished_run(folder, label), lambda step: should_stop()) is None:
                return outcome
            run_dir = engine.run_dir
        assert run_dir is not None  # noqa: S101  (for mypy: a run that ended has a folder)
        score = read_result(run_dir)["validation"][recipe.train.monitor]
    except (EngineError, torch.cuda.OutOfMemoryError) as error:  # of every accelerator, despite its name
        begun = None if engine is None else engine.run_dir
        return attrs.evolve(outcome, state="failed", error=str(error), run_dir=begun)
    return attrs.evolve(outcome, state="finished", score=score, run_dir=run_dir)
