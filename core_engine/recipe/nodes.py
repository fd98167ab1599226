"""A recipe as a tree that remembers where each value was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

Scalar = str | int | float | bool | None

#: No recipe comes near it, and everything that walks a tree may recurse.
MAX_DEPTH = 64


@frozen
class Mark:
    """Where something was written: a file with line and column (both from 1), or another place such as an override.

    ``folder`` is what relative paths written there are relative to.
    """

    source: str
    line: int | None = None
    column: int | None = None
    folder: Path = field(factory=Path, eq=False)

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"


@frozen
class Problem:
    """One thing that is wrong, as one line: ``file.yaml:12:5: loss[0].margn: what is wrong; what to do``."""

    mark: Mark
    where: str
    what: str

    def __str__(self) -> str:
        line = f"{self.mark}: {_shorten(self.where)}: {self.what}" if self.where else f"{self.mark}: {self.what}"
        # Keys and values are quoted from the file; a line break in one must not look like the next problem.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


@frozen
class Node:
    """A scalar, a list of nodes, or a mapping; ``mark`` is where the value stands, ``key_mark`` where its key does."""

    value: Scalar | list[Node] | dict[str, Node]
    mark: Mark
    key_mark: Mark | None = None

    @property
    def at(self) -> Mark:
        """Where to point at: the key where there is one, since that is what a reader looks for."""
        return self.key_mark or self.mark

    def describe(self) -> str:
        """The value in a few words, for messages."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        if self.value is None:
            return "nothing (null)"
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        try:
            return _shorten(repr(self.value))
        except ValueError:  # Python writes out no integer of more than 4,300 digits
            return "an integer of thousands of digits"


def node_from_python(value: object, mark: Mark) -> Node:
    """A node tree of dict, list, tuple, str, int, float, bool, None and Path. TypeError for anything else."""
    return _node_from_python(value, mark, 0)


def _node_from_python(value: object, mark: Mark, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise TypeError(f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a string")
        return Node({key: _node_from_python(item, mark, depth + 1) for key, item in value.items()}, mark)
    if isinstance(value, Path):
        return Node(str(value), mark)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return Node([_node_from_python(item, mark, depth + 1) for item in value], mark)
    if value is None or isinstance(value, str | int | float | bool):
        return Node(value, mark)
    raise TypeError(f"{value!r} is neither a mapping, a list, a string, a number, a boolean nor null")


def join(where: str, key: str | int) -> str:
    """``loss``, 0 -> ``loss[0]``; ``loss[0]``, ``margin`` -> ``loss[0].margin``"""
    if isinstance(key, int):
        return f"{where}[{key}]"
    return f"{where}.{key}" if where else key


def walk(node: Node, where: str = "") -> Iterator[tuple[str, Node]]:
    """The node and everything below it, with paths such as ``loss[0].margin``."""
    yield where, node
    if isinstance(node.value, dict):
        for key, item in node.value.items():
            yield from walk(item, join(where, key))
    elif isinstance(node.value, list):
        for index, item in enumerate(node.value):
            yield from walk(item, join(where, index))


def _shorten(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."
