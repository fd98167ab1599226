"""From a recipe file or a dict to a validated :class:`Recipe`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from core_engine.errors import RecipeError
from core_engine.host.host import PluginHost
from core_engine.host.requirements import unmet
from core_engine.recipe.check import check_recipe
from core_engine.recipe.compose import expand_variables, find, read_recipe_file
from core_engine.recipe.nodes import Mark, Node, Problem, node_from_python
from core_engine.recipe.overrides import apply_override
from core_engine.recipe.schema import Recipe
from core_engine.recipe.structure import Structurer

_DEFAULT_LOGGERS = ("console", "jsonl")


@frozen
class LoadedRecipe:
    """A valid recipe, the nodes it was made of (which know where each value was written), and its source's name."""

    recipe: Recipe
    root: Node
    source: str
    notes: list[str]


def load_recipe(
    source: Path | str | Mapping[str, Any],
    overrides: Iterable[str] = (),
    host: PluginHost | None = None,
    check: bool = True,
    folder: Path | None = None,
) -> LoadedRecipe:
    """Reads, composes and validates a recipe. RecipeError with every problem found, one line each.

    ``source``: a file, or a mapping of the same form. ``overrides``: ``key=value`` strings, applied in order.
    ``check``: also check what the recipe refers to (files, dimensions), not only its form. ``folder``: what relative
    paths in overrides are relative to; the working folder where it is not given.
    """
    host = host or PluginHost.discover()
    root, problems = _read(source)
    if root is None:
        raise RecipeError(_lines(problems))
    for override in overrides:
        root, found = apply_override(root, override, folder or Path.cwd())
        problems += found
    root, found = _without_extends(root)
    problems += found
    root, unset = expand_variables(root)
    problems += unset
    root = _with_defaults(root, source)
    problems += _unmet_requirements(root)
    structurer = Structurer(host.registry)
    recipe = structurer.structure(root, Recipe)
    problems += structurer.problems
    notes: list[str] = []
    if recipe is not None and check:
        found, notes = check_recipe(recipe, root)
        # What is wrong with a value that holds an unset variable is that.
        problems += [problem for problem in found if problem.where not in {other.where for other in unset}]
    if problems or recipe is None:
        raise RecipeError(_lines(problems) + (_broken_plugins(host) if structurer.component_missing else []))
    return LoadedRecipe(recipe, root, _source_name(source), notes)


def _read(source: Path | str | Mapping[str, Any]) -> tuple[Node | None, list[Problem]]:
    if not isinstance(source, Mapping):
        return read_recipe_file(Path(source))
    mark = Mark("recipe", folder=Path.cwd())
    try:
        return node_from_python(source, mark), []
    except TypeError as error:
        return None, [Problem(mark, "", str(error))]


def _source_name(source: Path | str | Mapping[str, Any]) -> str:
    return "recipe" if isinstance(source, Mapping) else str(source)


def _without_extends(root: Node) -> tuple[Node, list[Problem]]:
    """Files have been put together by now: whatever still extends one is a mapping or an override."""
    if not isinstance(root.value, dict) or "extends" not in root.value:
        return root, []
    problem = Problem(root.value["extends"].at, "extends", "only a recipe file can extend another; write one that does")
    return attrs.evolve(root, value={key: node for key, node in root.value.items() if key != "extends"}), [problem]


def _with_defaults(root: Node, source: Path | str | Mapping[str, Any]) -> Node:
    """Defaults that the schema cannot hold: components, the file's name, and folders that are the user's."""
    if not isinstance(root.value, dict):
        return root
    mark = Mark("default", folder=Path.cwd())
    entries = dict(root.value)
    if "loggers" not in entries:
        entries["loggers"] = node_from_python([{"type": name} for name in _DEFAULT_LOGGERS], mark)
    if "name" not in entries and not isinstance(source, Mapping):
        entries["name"] = Node(Path(source).stem, Mark("the recipe's file name"))
    if "output" not in entries:
        entries["output"] = Node("runs", mark)
    elif isinstance(entries["output"].value, str):
        # A recipe in a package or a shared folder writes where the user works, not beside itself.
        output = entries["output"]
        entries["output"] = attrs.evolve(output, mark=attrs.evolve(output.mark, folder=Path.cwd()))
    return attrs.evolve(root, value=entries)


def _unmet_requirements(root: Node) -> list[Problem]:
    node = find(root, "requires")
    if node is None or not isinstance(node.value, dict):
        return []
    problems = []
    for name, specifier in node.value.items():
        if isinstance(specifier.value, str) and (reason := unmet(name, specifier.value)):
            problems.append(Problem(specifier.at, f"requires.{name}", reason))
    return problems


def _lines(problems: Iterable[Problem]) -> list[str]:
    return [str(problem) for problem in sorted(set(problems), key=_position)]


def _position(problem: Problem) -> tuple[str, int, int, str, str]:
    mark = problem.mark
    return mark.source, mark.line or 0, mark.column or 0, problem.where, problem.what


def _broken_plugins(host: PluginHost) -> list[str]:
    """A plugin that failed to load may be what is missing."""
    return [f"note: plugin {failed.provider} failed to load: {failed.reason}" for failed in host.failed]
