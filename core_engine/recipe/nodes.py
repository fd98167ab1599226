"""A recipe as a tree that remembers where each value was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

Scalar = str | int | float | bool | None


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
        return f"{self.mark}: {self.where}: {self.what}" if self.where else f"{self.mark}: {self.what}"


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
        return repr(self.value)


def node_from_python(value: object, mark: Mark) -> Node:
    """A node tree of plain Python data: dict, list, tuple, str, int, float, bool, None, Path. TypeError for anything else."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a string")
        return Node({key: node_from_python(item, mark) for key, item in value.items()}, mark)
    if isinstance(value, Path):
        return Node(str(value), mark)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return Node([node_from_python(item, mark) for item in value], mark)
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
