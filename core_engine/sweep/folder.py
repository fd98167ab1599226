"""The sweep's folder: its recipe, its words, and the run folders of its trials."""

from __future__ import annotations

import json
from pathlib import Path

from core_engine.errors import CheckpointError
from core_engine.host.host import PluginHost
from core_engine.recipe.load import load_recipe
from core_engine.recipe.lock import recipe_to_yaml
from core_engine.run.folder import LOCK_FILE, check_writable, new_run_dir, run_label, write_atomically
from core_engine.sweep.plan import Plan, check_plan
from core_engine.sweep.report import SWEEP_FILE, SWEEP_FORMAT, Report
from core_engine.sweep.space import read_space


def new_sweep(plan: Plan) -> Path:
    """A new folder ``output/NAME-sweep-DATE-TIME`` that :func:`read_plan` understands."""
    recipe = plan.recipe
    check_writable(recipe.output)
    folder = new_run_dir(recipe.output, f"{run_label(recipe.name, recipe.control)}-sweep")
    write_atomically(folder / LOCK_FILE, recipe_to_yaml(recipe))
    Report(folder, plan, []).write()
    return folder


def read_plan(folder: Path, host: PluginHost) -> Plan:
    """The plan of a sweep that was begun. CheckpointError where there is none; RecipeError where it cannot be run here,
    since every trial would fail.
    """
    path = folder / SWEEP_FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != SWEEP_FORMAT:
            raise CheckpointError(f"{path}: of format {told['format']}, and this engine reads format {SWEEP_FORMAT}")
        space, trials, started_in = read_space(told["words"]), int(told["planned"]), Path(told["started_in"])
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: no sweep: there is no {SWEEP_FILE} in it") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged: {error!r}") from error
    plan = Plan(load_recipe(folder / LOCK_FILE, (), host).recipe, space, trials, started_in)
    check_plan(plan, host)
    return plan
