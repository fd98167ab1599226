"""Reads YAML into nodes: the YAML 1.2 core schema, with positions, without tags, and without duplicate keys.

PyYAML by itself follows YAML 1.1, where ``3e-4`` is a string, ``no`` is false, ``012`` is ten and the last of two equal
keys wins.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from yaml.reader import ReaderError

from core_engine.recipe.nodes import MAX_DEPTH, Mark, Node, Problem, Scalar, join

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LINE_BREAK = re.compile("[\n\x85\u2028\u2029]")  # what PyYAML counts
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

#: Aliases make a small file stand for an exponentially large tree; no recipe comes near this many nodes.
MAX_NODES = 20_000

#: Python reads no integer of more than 4,300 digits; as a float it is infinite, and refused as such.
_MAX_DIGITS = 4_300


class _Loader(yaml.SafeLoader):
    """Composes nodes only, each with the tag that was written, if any; scalars stay text."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if self._depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested more than {MAX_DEPTH} deep", problem_mark=event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and not isinstance(event, yaml.AliasEvent):
            node.tag = event.tag
        return node


def resolve(text: str) -> Scalar:
    """A plain (unquoted) scalar by the YAML 1.2 core schema.

    ``012`` and ``1_000`` stay strings: which number is meant is unclear.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text) and len(text) <= _MAX_DIGITS:
        return int(text)
    if _FLOAT.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        return float(text)
    if match := _INFINITY.fullmatch(text):
        return float(f"{match[1]}inf")
    if text in (".nan", ".NaN", ".NAN"):
        return float("nan")
    return text


def parse_yaml(text: str, source: str, folder: Path) -> tuple[Node | None, list[Problem]]:
    """The document as nodes, and what is wrong with it. The node is None where the text is no YAML at all."""

    def invalid(line: int, column: int, what: str) -> tuple[None, list[Problem]]:
        return None, [Problem(Mark(source, line, column), "", f"not valid YAML: {what}")]

    try:
        loader = _Loader(text)
    except ReaderError as error:
        before = _LINE_BREAK.split(text[: error.position])
        what = f"character {chr(error.character)!r} is not allowed; write it as an escape within double quotes"
        return invalid(len(before), len(before[-1]) + 1, what)
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or loader.get_mark()
        return invalid(mark.line + 1, mark.column + 1, ": ".join(filter(None, (error.context, error.problem))))
    except (ValueError, OverflowError) as error:  # PyYAML does not check what an escape such as "\Uffffffff" stands for
        mark = loader.get_mark()
        return invalid(mark.line + 1, mark.column + 1, str(error))
    finally:
        loader.dispose()
    if root is None:
        return Node(None, Mark(source, 1, 1, folder)), []
    converter = _Converter(source, folder)
    try:
        return converter.convert(root, ""), converter.problems
    except _TooLargeError as error:
        return None, [error.problem]


class _TooLargeError(Exception):
    def __init__(self, mark: Mark, where: str, what: str) -> None:
        super().__init__(what)
        self.problem = Problem(mark, where, what)


class _Converter:
    def __init__(self, source: str, folder: Path) -> None:
        self.source = source
        self.folder = folder
        self.problems: list[Problem] = []
        self._count = 0
        self._open: set[int] = set()

    def convert(self, node: yaml.Node, where: str, key_mark: Mark | None = None) -> Node:
        mark = self._mark(node)
        self._count += 1
        if self._count > MAX_NODES:
            what = f"the file comes to more than {MAX_NODES} values here; aliases repeat what they name: write less"
            raise _TooLargeError(key_mark or mark, where, what)
        if id(node) in self._open or len(self._open) > MAX_DEPTH:
            what = f"aliases nest values without end, or more than {MAX_DEPTH} deep; write the values out"
            raise _TooLargeError(key_mark or mark, where, what)
        self._refuse_tag(node, where)
        self._open.add(id(node))
        try:
            return Node(self._value(node, where), mark, key_mark)
        finally:
            self._open.discard(id(node))

    def _value(self, node: yaml.Node, where: str) -> Scalar | list[Node] | dict[str, Node]:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        return [self.convert(item, join(where, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, where: str) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            mark = self._mark(key_node)
            self._refuse_tag(key_node, where)
            key = _scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                written = repr(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
                self.problems.append(Problem(mark, where, f"key {written} is not a name; put it in quotes"))
                continue
            path = join(where, key)
            if key == "<<" and key_node.style is None:
                self.problems.append(Problem(mark, path, "merge keys are not supported; use 'extends'"))
                continue
            if key in entries:
                first = entries[key].at
                what = f"duplicate key; it stands at line {first.line} already: remove one of them"
                self.problems.append(Problem(mark, path, what))
                continue
            entries[key] = self.convert(value_node, path, mark)
        return entries

    def _refuse_tag(self, node: yaml.Node, where: str) -> None:
        if node.tag is not None:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self.problems.append(Problem(self._mark(node), where, f"tag {tag!r} is not allowed; write a plain value"))

    def _mark(self, node: yaml.Node) -> Mark:
        start = node.start_mark
        return Mark(self.source, start.line + 1, start.column + 1, self.folder)


def _scalar(node: yaml.ScalarNode) -> Scalar:
    text: str = node.value
    return resolve(text) if node.style is None else text
