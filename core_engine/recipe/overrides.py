"""``key=value``: one value of a recipe, changed on the command line."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import evolve

from core_engine.recipe.compose import merge
from core_engine.recipe.nodes import Mark, Node, Problem, join
from core_engine.recipe.yaml_source import parse_yaml

_STEP = re.compile(r"(?:^|\.)([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]{1,9})\]|\.([0-9]{1,9})(?=\.|\[|$)")


def apply_override(root: Node, override: str, folder: Path) -> tuple[Node, list[Problem]]:
    """Applies one ``key=value``: ``train.epochs=3``, ``loss[0].weight=2`` or ``loss.0.weight=2``.

    It means what a file in ``folder`` that extends this one would mean by it; an item of a list is set whole.
    """
    mark = Mark(f"override {override!r}", folder=folder)
    path, equals, text = override.partition("=")
    steps = _steps(path.strip())
    if not equals or not steps:
        what = "not of the form key=value; write it like train.epochs=3 or loss[0].weight=2"
        return root, [Problem(mark, "", what)]
    value, problems = parse_yaml(text, "override", folder)
    if value is None or problems:
        return root, [Problem(mark, path.strip(), p.what) for p in problems]
    return _set(root, steps, _with_mark(value, mark), mark, "")


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            return []
        steps.append(match[1] if match[1] is not None else int(match[2] or match[3]))
        position = match.end()
    return steps


def _with_mark(node: Node, mark: Mark) -> Node:
    if isinstance(node.value, dict):
        return Node({k: _with_mark(v, mark) for k, v in node.value.items()}, mark)
    if isinstance(node.value, list):
        return Node([_with_mark(v, mark) for v in node.value], mark)
    return Node(node.value, mark)


def _set(node: Node, steps: list[str | int], value: Node, mark: Mark, where: str) -> tuple[Node, list[Problem]]:
    """The node with the value set at the end of the steps, and what is in the way."""
    if not steps:
        return value, []
    step, rest = steps[0], steps[1:]
    here = join(where, step)
    if isinstance(step, int):
        if not isinstance(node.value, list):
            return node, [Problem(mark, here, f"{where or 'the recipe'} is {node.describe()}, not a list")]
        if step >= len(node.value):
            return node, [Problem(mark, here, f"{where} has {len(node.value)} items, counted from 0")]
        items = list(node.value)
        items[step], problems = _set(items[step], rest, value, mark, here)
        return evolve(node, value=items), problems
    entries = {} if node.value is None else node.value
    if not isinstance(entries, dict):
        what = f"{where or 'the recipe'} is {node.describe()}, not a mapping"
        if isinstance(node.value, list):
            what += f"; write {where}[0].{step}=... for its first item"
        return node, [Problem(mark, here, what)]
    entry, problems = _set(entries.get(step, Node(None, mark)), rest, value, mark, here)
    if problems:
        return node, problems
    return merge(evolve(node, value=entries), evolve(node, value={step: entry})), []
