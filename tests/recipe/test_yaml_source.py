"""YAML as a recipe means it: the 1.2 core schema, positions, no tags, no duplicate keys, no surprises."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from core_engine.recipe.nodes import MAX_DEPTH, Node
from core_engine.recipe.yaml_source import MAX_NODES, parse_yaml, resolve


def plain(node: Node) -> object:
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def parse(text: str) -> object:
    node, problems = parse_yaml(text, "r.yaml", Path())
    assert node is not None
    assert problems == []
    return plain(node)


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse_yaml(text, "r.yaml", Path())[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-0", 0),
        ("+7", 7),
        ("1e-4", 1e-4),
        ("2E+3", 2000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("0.0", 0.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("1e400", math.inf),
        ("9" * 4301, math.inf),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "off", "y", "tRue", "nUll", "012", "00.5", "0x1F", "0o17", "1_000", "1:30", "2001-12-14"],
)
def test_what_yaml_1_1_takes_for_something_else_is_text(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize("text", ["1e", "e5", ".", "-", "nan", "inf", "٣", "1 2"])
def test_what_is_no_number_is_text(text: str) -> None:
    assert resolve(text) == text


def test_nan_is_a_number() -> None:
    assert math.isnan(resolve(".nan"))  # type: ignore[arg-type]


def test_quoted_scalars_are_text() -> None:
    assert parse("""{a: "1", b: 'true', c: "", d: "null"}""") == {"a": "1", "b": "true", "c": "", "d": "null"}


def test_block_scalars_and_comments() -> None:
    assert parse("a: |\n  12\nb: 3 # three\nc: >-\n  x\n  y\n") == {"a": "12\n", "b": 3, "c": "x y"}


def test_an_empty_file_holds_nothing() -> None:
    assert parse("") is None
    assert parse("# nothing\n") is None


def test_positions_count_from_one() -> None:
    node, _ = parse_yaml("a: 1\nb:\n  - c: x\n    d: 2\n", "r.yaml", Path())
    assert node is not None
    assert isinstance(node.value, dict)
    assert str(node.value["a"].mark) == "r.yaml:1:4"
    assert str(node.value["a"].at) == "r.yaml:1:1"
    items = node.value["b"].value
    assert isinstance(items, list)
    assert str(items[0].at) == "r.yaml:3:5"
    assert isinstance(items[0].value, dict)
    assert str(items[0].value["d"].at) == "r.yaml:4:5"


def test_aliases_repeat_values() -> None:
    assert parse("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2", ["r.yaml:2:1: a: duplicate key; it stands at line 1 already: remove one of them"]),
        (
            "x:\n  - {b: 1, c: 2, b: 1}",
            ["r.yaml:2:18: x[0].b: duplicate key; it stands at line 2 already: remove one of them"],
        ),
        ('a: 1\n"a": 2', ["r.yaml:2:1: a: duplicate key; it stands at line 1 already: remove one of them"]),
        ("a: !!str 12", ["r.yaml:1:4: a: tag '!!str' is not allowed; write a plain value"]),
        ("a: !!int 12", ["r.yaml:1:4: a: tag '!!int' is not allowed; write a plain value"]),
        ("a: ! 12", ["r.yaml:1:4: a: tag '!' is not allowed; write a plain value"]),
        ("a: !foo {b: 1}", ["r.yaml:1:4: a: tag '!foo' is not allowed; write a plain value"]),
        ("!!map {a: 1}", ["r.yaml:1:1: tag '!!map' is not allowed; write a plain value"]),
        ("a: !!seq []", ["r.yaml:1:4: a: tag '!!seq' is not allowed; write a plain value"]),
        ("!k a: 1", ["r.yaml:1:1: tag '!k' is not allowed; write a plain value"]),
        (
            "a: !!python/object/apply:os.system [ls]",
            ["r.yaml:1:4: a: tag '!!python/object/apply:os.system' is not allowed; write a plain value"],
        ),
        ("a:\n  1: x", ["r.yaml:2:3: a: key '1' is not a name; put it in quotes"]),
        ("true: x", ["r.yaml:1:1: key 'true' is not a name; put it in quotes"]),
        ("? [a]\n: x", ["r.yaml:1:3: key a list or mapping is not a name; put it in quotes"]),
        (
            "a: &x {b: 1}\nc:\n  <<: *x",
            ["r.yaml:3:3: c.<<: merge keys are not supported; use 'extends'"],
        ),
        (
            "a: [1,\n  2",
            ["r.yaml:2:4: not valid YAML: while parsing a flow sequence: expected ',' or ']', but got '<stream end>'"],
        ),
        ("a: b: c", ["r.yaml:1:5: not valid YAML: mapping values are not allowed here"]),
        ("a: *x", ["r.yaml:1:4: not valid YAML: found undefined alias 'x'"]),
        (
            "a: 1\n---\nb: 2",
            ["r.yaml:2:1: not valid YAML: expected a single document in the stream: but found another document"],
        ),
        (
            "a: x\nb: y\0z",
            [
                r"r.yaml:2:5: not valid YAML: character '\x00' is not allowed; "
                "write it as an escape within double quotes"
            ],
        ),
    ],
)
def test_what_is_refused_and_where(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_a_quoted_merge_key_is_an_ordinary_name() -> None:
    assert parse('{"<<": 1}') == {"<<": 1}


@pytest.mark.parametrize("text", ['a: "\\UFFFFFFFF"', "%YAML 1." + "9" * 5000 + "\n---\na: 1"])
def test_what_pyyaml_itself_stumbles_over(text: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("r.yaml:1:")
    assert ": not valid YAML: " in problem


def test_nesting_ends_somewhere() -> None:
    assert problems("a: " + "[" * 50_000) == [
        f"r.yaml:1:{MAX_DEPTH + 4}: not valid YAML: nested more than {MAX_DEPTH} deep"
    ]
    parse("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))


def test_aliases_that_grow_without_end() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(30))
    (problem,) = problems(bomb)
    assert problem.startswith("r.yaml:")
    assert f"the file comes to more than {MAX_NODES} values" in problem


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [*x]",
        "a: &x {b: {c: *x}}",
        "\n".join(f"a{i}: &a{i} {'[' * 40}{f'*a{i - 1}' if i else 1}{']' * 40}" for i in range(100)),
    ],
)
def test_aliases_that_nest_without_end(text: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("r.yaml:")
    assert "aliases nest values without end" in problem
