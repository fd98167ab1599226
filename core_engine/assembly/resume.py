"""Finds the checkpoint that a run goes on from, and makes sure that it is the same run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import structlog

from core_engine.errors import CheckpointError
from core_engine.recipe.compose import read_recipe_file
from core_engine.recipe.lock import recipe_to_yaml
from core_engine.recipe.nodes import Node, walk
from core_engine.recipe.schema import Recipe
from core_engine.recipe.yaml_source import parse_yaml
from core_engine.run.folder import LOCK_FILE, RESULT_FILE, unfinished_run
from core_engine.training.checkpoint import Checkpoint, newest_checkpoint, open_checkpoint

log = structlog.get_logger("core_engine.run")

#: What may differ when a run is resumed: it changes where and how the run is computed and watched, not what is
#: computed.
_FREE = (
    "output",
    "loggers",
    "device",
    "requires",
    "evaluation",
    "lattice.backend",
    "lattice.memory",
    "train.max_time",
    "train.memory_budget",
    "train.profile",
)


def find_checkpoint(resume: Literal["auto"] | Path | str, output: Path, name: str) -> Checkpoint | None:
    """The checkpoint to go on from; None where ``auto`` finds no unfinished run."""
    if resume == "auto":
        run_dir = unfinished_run(output, name)
        if run_dir is None:
            log.info("nothing to resume, starting anew", output=str(output), name=name)
            return None
        return newest_checkpoint(run_dir, "step")
    path = Path(resume).absolute()
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such run folder or checkpoint folder")
    if path.name.startswith("step-"):
        if (path.parent.parent / RESULT_FILE).exists():
            raise CheckpointError(
                f"{path}: this run is finished; to go back in it, copy its folder without {RESULT_FILE}"
            )
        return open_checkpoint(path)
    if path.name.startswith("best-"):
        raise CheckpointError(f"{path}: holds a core and no training state; resume from a step-... folder beside it")
    if (path / RESULT_FILE).exists():
        raise CheckpointError(f"{path}: this run is finished; there is nothing to resume")
    return newest_checkpoint(path, "step")


def require_same_facts(checkpoint: Checkpoint, facts: Mapping[str, Any]) -> None:
    """CheckpointError where the run was started on other data, or with other options."""
    if checkpoint.facts.get("data_digest") != facts["data_digest"]:
        raise CheckpointError(f"{checkpoint.path}: the data are not those this checkpoint was made with")
    if checkpoint.facts.get("setup") != facts["setup"]:
        raise CheckpointError(
            f"{checkpoint.path}: the run was started as {checkpoint.facts.get('setup')}, and now is {facts['setup']}"
        )


def require_same_recipe(run_dir: Path, recipe: Recipe | None) -> None:
    """CheckpointError naming what differs between the recipe and the one the run was started with."""
    if recipe is None:
        return
    lock = run_dir / LOCK_FILE
    before, problems = read_recipe_file(lock)
    if before is None or problems:
        raise CheckpointError(f"{lock}: cannot be read: {problems[0].what if problems else 'empty'}")
    now, _ = parse_yaml(recipe_to_yaml(recipe), str(lock), lock.parent)
    old, new = _values(before), _values(now) if now is not None else {}
    differences = [
        f"{where}: was {old.get(where, 'absent')}, is {new.get(where, 'absent')}"
        for where in sorted(old.keys() | new.keys())
        if old.get(where) != new.get(where) and not _is_free(where)
    ]
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise CheckpointError(
            f"{lock}: the recipe differs from the one this run was started with: {'; '.join(differences[:3])}{more}. "
            f"Give the same overrides again, or go on with: core-engine run {lock} --resume {run_dir}"
        )


def _is_free(where: str) -> bool:
    return any(where == free or where.startswith((f"{free}.", f"{free}[")) for free in _FREE)


def _values(root: Node) -> dict[str, str]:
    """Path -> value, in a few words, of everything that is no mapping or list."""
    return {where: node.describe() for where, node in walk(root) if not isinstance(node.value, dict | list)}
