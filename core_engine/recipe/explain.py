"""Which value a recipe resolved to, and where each came from."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from core_engine.recipe.check import components
from core_engine.recipe.compose import find
from core_engine.recipe.load import LoadedRecipe
from core_engine.recipe.lock import recipe_to_dict
from core_engine.recipe.nodes import join


@frozen
class Explained:
    """One resolved value. ``origin``: where it was written, or ``default``."""

    where: str
    value: object
    origin: str


def explain(loaded: LoadedRecipe) -> list[Explained]:
    """Every resolved leaf value of the recipe in the order of the lock file."""
    return [
        Explained(where, value, _origin(loaded, where)) for where, value in _leaves(recipe_to_dict(loaded.recipe), "")
    ]


def suppliers(loaded: LoadedRecipe) -> list[tuple[str, str, str]]:
    """(path, component name, plugin and distribution) of every slot."""
    return [(where, ref.type, str(ref.provider)) for where, ref in components(loaded.recipe)]


def _leaves(value: object, where: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, join(where, key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, join(where, index))
    else:
        yield where, value


def _origin(loaded: LoadedRecipe, where: str) -> str:
    node = find(loaded.root, where)
    return "default" if node is None else str(node.mark)
