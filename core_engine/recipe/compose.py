"""Puts a recipe together from files: ``extends`` and environment variables."""

from __future__ import annotations

import os
import re
from pathlib import Path

from attrs import evolve

from core_engine.recipe.nodes import Mark, Node, Problem, join, walk
from core_engine.recipe.yaml_source import parse_yaml

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_recipe_file(path: Path) -> tuple[Node | None, list[Problem]]:
    """One recipe file and everything it extends, merged; the file's own values win.

    The node is None where a file is missing or is no recipe: what the others lack would only distract from that.
    """
    return _read(path, (), None)


def _read(path: Path, parents: tuple[Path, ...], extended_at: Mark | None) -> tuple[Node | None, list[Problem]]:
    """``parents``: the files that led here, each extending the next; ``extended_at``: where the last names this one."""
    source = _display(path)

    def unusable(what: str) -> tuple[None, list[Problem]]:
        if extended_at is None:
            return None, [Problem(Mark(source), "", what)]
        return None, [Problem(extended_at, "extends", f"{source}: {what}")]

    try:
        resolved = path.resolve()
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return unusable("no such recipe file")
    except UnicodeDecodeError as error:
        return unusable(f"not UTF-8 text (byte {error.start}); save it as UTF-8")
    except OSError as error:
        return unusable(f"cannot be read: {error.strerror}")
    except (ValueError, RuntimeError) as error:  # a NUL in the name; links that go round in a circle
        return unusable(f"cannot be read: {error}")
    if resolved in parents:
        chain = " -> ".join(_display(p) for p in (*parents, path))
        return unusable(f"files extend one another in a circle: {chain}")
    node, problems = parse_yaml(text, source, path.parent.absolute())
    if node is None:
        return None, problems
    if node.value is None:
        node = evolve(node, value={})
    if not isinstance(node.value, dict):
        return None, [*problems, Problem(node.mark, "", f"a recipe is a mapping, not {node.describe()}")]
    entries = dict(node.value)
    extends = entries.pop("extends", None)
    merged = evolve(node, value=entries)
    bases: list[Node | None] = []
    for item in _extended(extends, problems):
        base, base_problems = _read_base(item, path.parent, (*parents, resolved))
        bases.append(base)
        problems += base_problems
    for base in reversed(bases):
        if base is None:
            return None, problems
        merged = merge(base, merged)
    return merged, problems


def _extended(extends: Node | None, problems: list[Problem]) -> list[Node]:
    if extends is None:
        return []
    if extends.value == []:
        problems.append(Problem(extends.at, "extends", "no file is named; name one or remove 'extends'"))
    return extends.value if isinstance(extends.value, list) else [extends]


def _read_base(item: Node, folder: Path, parents: tuple[Path, ...]) -> tuple[Node | None, list[Problem]]:
    if isinstance(item.value, str):
        return _read(folder / item.value, parents, item.mark)
    what = f"expected a file name or a list of file names, not {item.describe()}"
    return None, [Problem(item.mark, "extends", what)]


def _display(path: Path) -> str:
    """The path as the user would write it: relative to the working folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (OSError, ValueError, RuntimeError):
        return str(path)


def merge(base: Node, over: Node) -> Node:
    """``over`` on top of ``base``: mappings key by key, lists and scalars whole.

    Two components with another ``type`` are not mixed: the options of one mean nothing to the other.
    """
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    old, new = base.value.get("type"), over.value.get("type")
    if old is not None and new is not None and old.value != new.value:
        return over
    entries = dict(base.value)
    for key, item in over.value.items():
        entries[key] = merge(entries[key], item) if key in entries else item
    return evolve(over, value=entries)


def expand_variables(root: Node) -> tuple[Node, list[Problem]]:
    """Replaces ``${NAME}`` in strings by environment variables; ``$${`` stands for ``${``.

    An unset one is a problem.
    """
    problems: list[Problem] = []

    def expand(node: Node, where: str) -> Node:
        if isinstance(node.value, dict):
            return evolve(node, value={k: expand(v, join(where, k)) for k, v in node.value.items()})
        if isinstance(node.value, list):
            return evolve(node, value=[expand(v, join(where, i)) for i, v in enumerate(node.value)])
        if not isinstance(node.value, str) or "${" not in node.value:
            return node

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if not _VARIABLE_NAME.fullmatch(name):
                what = f"{match[0]!r} does not name an environment variable; write $${{ for a plain ${{"
                problems.append(Problem(node.at, where, what))
            elif name not in os.environ:
                what = f"environment variable {name} is not set; set it, for example: export {name}=..."
                problems.append(Problem(node.at, where, what))
            return os.environ.get(name, "")

        parts = [_VARIABLE.sub(replace, part) for part in node.value.split("$${")]
        return evolve(node, value="${".join(parts))

    return expand(root, ""), problems


def find(root: Node, where: str) -> Node | None:
    """The node at a path such as ``loss[0].margin``, or None."""
    return next((node for path, node in walk(root) if path == where), None)
