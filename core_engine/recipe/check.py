"""What can be known about a valid recipe without reading data or loading weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from core_engine.contracts.contexts import ReshapeContext
from core_engine.contracts.metrics import METRICS
from core_engine.recipe.compose import find
from core_engine.recipe.nodes import Mark, Node, Problem, join
from core_engine.recipe.schema import LossTerm, Recipe
from core_engine.recipe.slots import ComponentRef

#: The validation loss can be monitored beside the metrics.
MONITORS = (*METRICS, "loss")


def check_recipe(recipe: Recipe, root: Node) -> tuple[list[Problem], list[str]]:
    """Problems, and notes that are no problems: what was found out on the way."""
    problems: list[Problem] = []
    notes: list[str] = []

    def report(where: str, what: str) -> None:
        problems.append(Problem(_mark(root, where), where, what))

    for where, ref in components(recipe):
        for option, what in _complaints(ref):
            report(join(where, option) if option else where, f"{what} ({ref.provider})")

    if recipe.teacher is not None and recipe.teacher not in recipe.teachers:
        known = ", ".join(recipe.teachers) or "none"
        report("teacher", f"no teacher named {recipe.teacher!r} stands under 'teachers'; there: {known}")
    ready = bool(getattr(recipe.data.train.config, "yields_embeddings", False))
    if ready and recipe.teacher is not None:
        report("teacher", "the data are ready embeddings, so a teacher has no effect; write 'teacher: null'")
    if recipe.teachers and recipe.teacher is None and not ready:
        report("teachers", "no teacher is chosen; add 'teacher:' with one of these names")

    if recipe.train.monitor not in MONITORS:
        known = ", ".join(MONITORS)
        report("train.monitor", f"there is no metric {recipe.train.monitor!r}; metrics: {known}")

    _check_dimensions(recipe, report, notes)
    return problems, notes


def _complaints(ref: ComponentRef) -> Iterator[tuple[str, str]]:
    check = getattr(ref.config, "check", None)
    if check is not None:
        try:
            yield from check()
        except Exception as error:  # whatever a plugin's check stumbles over is in the options it was given
            yield "", f"its check failed: {type(error).__name__}: {error}"


def _check_dimensions(recipe: Recipe, report: Callable[[str, str], None], notes: list[str]) -> None:
    """Teacher -> reshape -> lattice, where the teacher's dimension can be known."""
    if recipe.teacher is None or recipe.teacher not in recipe.teachers:
        return
    teacher = recipe.teachers[recipe.teacher]
    try:
        dim = teacher.config.embedding_dim()
    except Exception as error:  # such as a damaged model folder
        what = f"its dimension cannot be told: {type(error).__name__}: {error} ({teacher.provider})"
        report(join("teachers", recipe.teacher), what)
        return
    if dim is None:
        notes.append(f"the dimension of teacher {recipe.teacher!r} is known only once it is there to be read")
        return
    notes.append(f"teacher {recipe.teacher!r} gives {dim} dimensions")
    context = ReshapeContext(input_dim=dim, output_dim=dim, size=recipe.lattice.size, seed=recipe.seed)
    problem = dimension_problem(recipe, context)
    if problem:
        report("reshape", problem)


def dimension_problem(recipe: Recipe, context: ReshapeContext) -> str | None:
    """Why embeddings of these dimensions do not fit the reshape and the lattice, or None where they do."""
    try:
        channels = recipe.reshape.config.lattice_channels(context)
    except (ValueError, ArithmeticError) as error:  # ArithmeticError: sizes that no number holds
        return str(error)
    if channels > recipe.lattice.channels:
        return (
            f"it needs {channels} channels to carry values, and lattice.channels is {recipe.lattice.channels}; "
            f"raise lattice.channels or use a larger lattice.size"
        )
    return None


def components(recipe: Recipe) -> list[tuple[str, ComponentRef]]:
    """Every component of the recipe with its path."""
    found: list[tuple[str, ComponentRef]] = []

    def visit(value: Any, where: str) -> None:
        if isinstance(value, ComponentRef):
            found.append((where, value))
            visit(value.config, where)
        elif attrs.has(type(value)):
            for attribute in attrs.fields(type(value)):
                # A loss term's own options stand beside its loss's, so the loss adds nothing to the path.
                merged = isinstance(value, LossTerm) and attribute.name == "loss"
                visit(getattr(value, attribute.name), where if merged else join(where, str(attribute.alias)))
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                visit(item, join(where, index))
        elif isinstance(value, dict):
            for key, item in value.items():
                visit(item, join(where, str(key)))

    visit(recipe, "")
    return found


def _mark(root: Node, where: str) -> Mark:
    """Where to point: at the node itself, or at the nearest one above it that was written."""
    while where:
        node = find(root, where)
        if node is not None:
            return node.at
        where = where.rpartition(".")[0]
    return root.mark
