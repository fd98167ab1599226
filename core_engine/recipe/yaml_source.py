"""Reads YAML into nodes: the YAML 1.2 core schema, with positions, without tags, and without duplicate keys.

PyYAML by itself follows YAML 1.1, where ``3e-4`` is a string, ``no`` is false, ``012`` is ten and the last of two equal keys wins.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from core_engine.recipe.nodes import Mark, Node, Problem, Scalar

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

#: Aliases make a small file stand for an exponentially large tree; no recipe comes near this many nodes.
MAX_NODES = 20_000


class _Loader(yaml.SafeLoader):
    """Composes nodes only; scalars stay text, and :func:`resolve` says what they are."""


_Loader.yaml_implicit_resolvers = {}


def resolve(text: str) -> Scalar:
    """A plain (unquoted) scalar by the YAML 1.2 core schema. ``012`` and ``1_000`` stay strings: which number is meant is unclear."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
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
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Mark(source, mark.line + 1, mark.column + 1) if mark else Mark(source)
        return None, [Problem(where, "", f"not valid YAML: {error.problem or error.context}")]
    except (yaml.YAMLError, RecursionError) as error:
        return None, [Problem(Mark(source), "", f"not valid YAML: {str(error) or type(error).__name__}")]
    if root is None:
        return Node({}, Mark(source, 1, 1, folder)), []
    converter = _Converter(source, folder)
    try:
        return converter.convert(root, ""), converter.problems
    except _TooLargeError:
        what = f"aliases expand to more than {MAX_NODES} nodes; write the values out"
        return None, [Problem(Mark(source), "", what)]


class _TooLargeError(Exception):
    pass


class _Converter:
    def __init__(self, source: str, folder: Path) -> None:
        self.source = source
        self.folder = folder
        self.problems: list[Problem] = []
        self._count = 0
        self._open: set[int] = set()

    def convert(self, node: yaml.Node, where: str, key_mark: Mark | None = None) -> Node:
        self._count += 1
        if self._count > MAX_NODES or id(node) in self._open:
            raise _TooLargeError
        mark = self._mark(node)
        if node.tag not in _DEFAULT_TAGS:
            self.problems.append(Problem(mark, where, f"tag {node.tag!r} is not allowed; write a plain value"))
        self._open.add(id(node))
        try:
            return Node(self._value(node, where), mark, key_mark)
        finally:
            self._open.discard(id(node))

    def _value(self, node: yaml.Node, where: str) -> Scalar | list[Node] | dict[str, Node]:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item, f"{where}[{index}]") for index, item in enumerate(node.value)]
        text: str = node.value
        return resolve(text) if node.style is None else text

    def _mapping(self, node: yaml.MappingNode, where: str) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            mark = self._mark(key_node)
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str) or (key_node.style is None and not isinstance(resolve(key), str)):
                self.problems.append(Problem(mark, where, f"key {key!r} is not a name; put it in quotes"))
                continue
            path = f"{where}.{key}" if where else key
            if key == "<<":
                self.problems.append(Problem(mark, path, "merge keys are not supported; use 'extends'"))
                continue
            if key in entries:
                first = entries[key].at
                what = f"duplicate key; it stands at line {first.line} already: remove one of them"
                self.problems.append(Problem(mark, path, what))
                continue
            entries[key] = self.convert(value_node, path, mark)
        return entries

    def _mark(self, node: yaml.Node) -> Mark:
        start = node.start_mark
        return Mark(self.source, start.line + 1, start.column + 1, self.folder)


# What PyYAML gives a node on which no tag was written (there are no implicit resolvers in _Loader).
_DEFAULT_TAGS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!"}
