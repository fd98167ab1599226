"""Finds the checkpoint that a run goes on from, and makes sure that it is the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import structlog
import yaml

from core_engine.errors import CheckpointError
from core_engine.recipe.lock import recipe_to_yaml
from core_engine.recipe.schema import Recipe
from core_engine.run.folder import LOCK_FILE, RESULT_FILE, unfinished_run
from core_engine.training.checkpoint import Checkpoint, newest_checkpoint, open_checkpoint

log = structlog.get_logger("core_engine.run")

#: What may differ when a run is resumed: it changes where and how the run is watched, not what it computes.
_FREE = ("output", "loggers", "device", "requires", "evaluation")


def find_checkpoint(resume: Literal["auto"] | Path | str, output: Path, name: str) -> Checkpoint | None:
    """The checkpoint to go on from; None where ``auto`` finds no unfinished run."""
    if resume == "auto":
        run_dir = unfinished_run(output, name)
        if run_dir is None:
            log.info("nothing to resume, starting anew", output=str(output), name=name)
            return None
        return newest_checkpoint(run_dir, "step")
    path = Path(resume)
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such run folder or checkpoint folder")
    if path.name.startswith("step-"):
        return open_checkpoint(path)
    if path.name.startswith("best-"):
        raise CheckpointError(f"{path}: holds a core and no training state; resume from a step-... folder beside it")
    if (path / RESULT_FILE).exists():
        raise CheckpointError(f"{path}: this run is finished; there is nothing to resume")
    return newest_checkpoint(path, "step")


def require_same_recipe(run_dir: Path, recipe: Recipe | None) -> None:
    """CheckpointError naming what differs between the recipe and the one the run was started with."""
    if recipe is None:
        return
    lock = run_dir / LOCK_FILE
    try:
        before = yaml.safe_load(lock.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CheckpointError(f"{lock}: cannot be read: {error}") from error
    now = yaml.safe_load(recipe_to_yaml(recipe))
    differences = [d for d in _differences(before, now, "") if d.split(":")[0].split(".")[0] not in _FREE]
    if differences:
        raise CheckpointError(
            f"{lock}: the recipe differs from the one this run was started with: {'; '.join(differences)}"
        )


def _differences(before: Any, now: Any, where: str) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in before.keys() | now.keys():
            path = f"{where}.{key}" if where else str(key)
            found += _differences(before.get(key), now.get(key), path)
        return sorted(found)
    return [] if before == now else [f"{where}: was {before!r}, is {now!r}"]
