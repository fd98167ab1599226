"""The recipe as plain data again: complete, with every default, and runnable as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import yaml

from core_engine.recipe.difficulty import DIFFICULTIES
from core_engine.recipe.modes import MODES
from core_engine.recipe.schema import LossTerm, Recipe
from core_engine.recipe.slots import ComponentRef
from core_engine.recipe.training import OPTIMIZERS, SCHEDULES
from core_engine.recipe.yaml_source import resolve

_CHOSEN = {cls: name for options in (DIFFICULTIES, MODES, OPTIMIZERS, SCHEDULES) for name, cls in options.items()}


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain dicts, lists and scalars; paths are absolute."""
    return _fields(recipe)


def recipe_to_source(recipe: Recipe) -> dict[str, Any]:
    """The same as a recipe is written. Loading it gives an equal recipe."""
    source: dict[str, Any] = _escape(recipe_to_dict(recipe))
    return source


def recipe_to_yaml(recipe: Recipe) -> str:
    """A recipe file. Loading it gives an equal recipe."""
    return yaml.dump(recipe_to_source(recipe), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _plain(value: Any) -> Any:
    if isinstance(value, ComponentRef):
        return {"type": value.type, **_fields(value.config)}
    if isinstance(value, LossTerm):
        return {**_plain(value.loss), "weight": _plain(value.weight)}
    if type(value) in _CHOSEN:
        return {"type": _CHOSEN[type(value)], **_fields(value)}
    if attrs.has(type(value)):
        return _fields(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value.absolute())
    return value


def _fields(instance: Any) -> dict[str, Any]:
    """Every option by the name that it has in a recipe."""
    attributes = attrs.fields(type(instance))
    return {str(a.alias): _plain(getattr(instance, a.name)) for a in attributes if a.init}


def _escape(value: Any) -> Any:
    """Text that happens to look like an environment variable is not one when the file is read again."""
    if isinstance(value, dict):
        return {key: _escape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escape(item) for item in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


class _Dumper(yaml.SafeDumper):
    """Quotes every string that the recipe reader, by YAML 1.2, would take for something else."""


def _represent_str(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Line breaks of every sort are folded in any other style, and some are lost.
    style = '"' if not text.isprintable() else None if isinstance(resolve(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_str)
