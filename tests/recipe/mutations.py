"""Recipes as trees of raw YAML text, ways to damage them, and a judge of what a damaged one was taken for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from attrs import define
from hypothesis import strategies as st


@define
class Tree:
    """A mapping (``key`` is raw text) or a list (``key`` is None) in block style, or raw text."""

    entries: list[tuple[str | None, Tree | str]]


def grow(value: Any) -> Tree | str:
    """The tree of plain data; texts stand as they are, so that a recipe can hold any YAML."""
    if isinstance(value, dict):
        return Tree([(key, grow(item)) for key, item in value.items()])
    if isinstance(value, list):
        return Tree([(None, grow(item)) for item in value])
    return str(value)


def render(tree: Tree | str, indent: int = 0) -> str:
    """YAML text, block style."""
    if isinstance(tree, str):
        return tree
    if not tree.entries:
        return "{}"
    lines = []
    for key, item in tree.entries:
        mark = "-" if key is None else f"{key}:"
        inner = render(item, indent + 2)
        nested = isinstance(item, Tree) and item.entries
        lines.append(" " * indent + (f"{mark}\n{inner}" if nested else f"{mark} {inner}"))
    return "\n".join(lines)


def places(tree: Tree) -> Iterator[tuple[Tree, int]]:
    """Every entry, as its tree and index."""
    for index, (_, item) in enumerate(tree.entries):
        yield tree, index
        if isinstance(item, Tree):
            yield from places(item)


#: Raw YAML that is not what it looks like, or not what a recipe holds.
ODD = [
    *("yes", "no", "on", "off", "TRUE", "y", "012", "0o17", "0x1F", "1_000", "1:30", "1e3", "1E-4", "+3", "3.", ".5"),
    *(".nan", ".NaN", ".inf", "-.inf", "1e400", "1e-400", "-0", "-1", "0", "1", "2", "0.1", "1.0", "true", "false"),
    *("9" * 30, "9" * 400, "9" * 5000, "-" + "9" * 30, '""', "''", "null", "~", "", "2001-12-14", '"0.1"', "'true'"),
    *("2001-12-14t21:59:43.10-05:00", "héllo", "日本語", '"\\u2028"', '"\\0"', '"a\\nb"', '"\\ud83d\\ude00"', "😀"),
    *(
        "!!str 12",
        '!!int "12"',
        "!foo bar",
        "! 12",
        "!!python/object/apply:os.system [ls]",
        "!!binary aGk=",
        "!!null x",
    ),
    *("&a 1", "*a", "*missing", "&a [*a]", "&a {b: *a}", "[]", "{}", "[[]]", "[1, 2, 3]", "[2, 2, 96]", "{a: 1}"),
    *("{type: null}", "{type: linear}", "{type: cosine}", "{type: minilm}", "{<<: {a: 1}}", "<<", "{a: 1, a: 2}"),
    *("${HOME}", "${NO_SUCH_VARIABLE}", "${}", "$${X}", "${A$${B}", "${", "|", ">", "@x", "`x`", "%x", "x: y: z"),
    *(
        "x" * 3000,
        "[" * 200 + "]" * 200,
        "{a: " * 200 + "}" * 200,
        '"',
        "'",
        "# comment",
        "a #b",
        "~/x",
        "~nobody-here/x",
    ),
    *(
        "/",
        ".",
        "..",
        "a\tb",
        "\t",
        "- 1",
        "? x",
        "---",
        "...",
        "\x00",
        "\x85",
        "\ufeff",
        "cpu",
        "one",
        "cosine",
        "mse",
    ),
    *(
        '"\\Uffffffff"',
        '"\\x"',
        "[1, 2",
        "{a: 1",
        "a: 1",
        "\n",
        "\n  a: 1",
        "\n- 1",
        "recall@1",
        "all",
        "ratio",
        "adam",
    ),
]

raw_values = (
    st.sampled_from(ODD)
    | st.text(max_size=20)
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.recursive(
        st.sampled_from(ODD), lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    )
)

#: Keys that no recipe has anywhere.
unknown_keys = st.from_regex(r"[a-z_]{1,12}", fullmatch=True).map(lambda key: f"{key}q") | st.sampled_from(
    ['"a b"', "é", "a.b", '"a[0]"', '"\\n"', "x" * 100, "Type", "TYPE", '"type "', "wieght", "extend", '"<<"', '"0"']
)

_POSITION = re.compile(r"r\.yaml:([1-9][0-9]*):([1-9][0-9]*): ")


def assert_readable(problems: list[str], text: str) -> None:
    """Each problem is one line that points into the file (or at an override) and says what is wrong."""
    assert problems
    for problem in problems:
        assert problem.isprintable(), problem
        position = _POSITION.match(problem)
        if position is None:
            assert problem.startswith("override "), problem
        else:
            lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)
            assert int(position[1]) <= len(lines), problem
            assert int(position[2]) <= len(lines[int(position[1]) - 1]) + 1, problem
    assert problems == list(dict.fromkeys(problems))


def assert_nothing_is_lost(text: str, lock: Any) -> None:
    """Whatever stands in an accepted recipe (or override) stands in its lock, and no key stands there twice."""
    document = yaml.compose(text, Loader=yaml.BaseLoader)
    if document is None:
        assert lock is None
    else:
        _compare(document, lock, "")


def _compare(node: yaml.Node, value: Any, where: str) -> None:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{where}: {keys}"
        assert isinstance(value, dict), where
        for key, item in node.value:
            assert key.value in value, f"{where}.{key.value} does nothing"
            _compare(item, value[key.value], f"{where}.{key.value}")
    elif isinstance(node, yaml.SequenceNode):
        assert isinstance(value, list), where
        assert len(value) == len(node.value), where
        for index, item in enumerate(node.value):
            _compare(item, value[index], f"{where}[{index}]")
    else:
        assert isinstance(node, yaml.ScalarNode)
        assert _means(node, value), f"{where}: {node.value!r} was taken for {value!r}"


def _means(node: yaml.ScalarNode, value: Any) -> bool:
    written: str = node.value
    plain = node.style is None
    if isinstance(value, bool):
        return plain and written.lower() == str(value).lower()
    if isinstance(value, int):
        return plain and re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", written) is not None and int(written) == value
    if isinstance(value, float):
        return plain and re.fullmatch(r"[-+.0-9eE]+", written) is not None and float(written) == value
    if value is None:
        return plain and written in ("", "~", "null", "Null", "NULL")
    if "${" in written:
        return isinstance(value, str)
    path = str(Path(written).expanduser().absolute()) if "\0" not in written and written[:1] != "~" else written
    home = written.replace("~", os.environ.get("HOME", "~"), 1)
    return isinstance(value, str) and value in (written, path, home)
