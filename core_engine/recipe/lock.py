"""The recipe as plain data again: complete, with every default, and runnable as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import cattrs
import yaml

from core_engine.recipe.schema import MODES, OPTIMIZERS, SCHEDULES, LossTerm, Recipe
from core_engine.recipe.slots import ComponentRef


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain dicts, lists and scalars; paths are absolute."""
    return cast(dict[str, Any], _plain(_converter().unstructure(recipe)))


def recipe_to_yaml(recipe: Recipe) -> str:
    """A recipe file. Loading it gives an equal recipe."""
    plain = _escape(recipe_to_dict(recipe))
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(Path, lambda path: str(path.absolute()))
    converter.register_unstructure_hook(
        ComponentRef, lambda ref: {"type": ref.type, **converter.unstructure(ref.config)}
    )
    converter.register_unstructure_hook(
        LossTerm, lambda term: {**converter.unstructure(term.loss), "weight": term.weight}
    )
    for options in (MODES, OPTIMIZERS, SCHEDULES):
        for name, cls in options.items():
            plain = cattrs.gen.make_dict_unstructure_fn(cls, converter)
            converter.register_unstructure_hook(
                cls, lambda value, name=name, plain=plain: {"type": name, **plain(value)}
            )
    return converter


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value.absolute())
    return value


def _escape(value: object) -> object:
    """Text that happens to look like an environment variable is not one when the file is read again."""
    if isinstance(value, dict):
        return {key: _escape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escape(item) for item in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


class _Dumper(yaml.SafeDumper):
    """Quotes every string that the recipe reader, by YAML 1.2, would take for something else."""


def _represent_str(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    from core_engine.recipe.yaml_source import resolve

    style = None if isinstance(resolve(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_str)
