"""The notation of lists and ranges."""

from __future__ import annotations

import itertools
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core_engine.errors import RecipeError
from core_engine.sweep.space import Choices, Range, read_space


def read(text: str) -> str | Choices | Range:
    """What ``key=text`` is read as, beside another word that is searched."""
    return read_space([f"key={text}", "other=1,2"]).words[0]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-3,3e-3", ["1e-3", "3e-3"]),
        (" a , b,c ", ["a", "b", "c"]),
        ("[4, 2, 2],[2,2,4]", ["[4, 2, 2]", "[2,2,4]"]),
        ("{type: sgd, lr: 0.1},{type: adamw}", ["{type: sgd, lr: 0.1}", "{type: adamw}"]),
        ("{a: [1, {b: 2}]},null", ["{a: [1, {b: 2}]}", "null"]),
        ("\"a,b\",'c,''d'", ['"a,b"', "'c,''d'"]),
        ("it's,that's", ["it's", "that's"]),
        ("1..2,3..4", ["1..2", "3..4"]),
        ("../a.jsonl,../b.jsonl", ["../a.jsonl", "../b.jsonl"]),
    ],
)
def test_a_list(text: str, values: list[str]) -> None:
    assert read(text) == Choices(f"key={text}", "key", tuple(values))


@pytest.mark.parametrize(
    ("text", "low", "high", "log"),
    [
        ("8..64", 8, 64, False),
        ("-3..+3", -3, 3, False),
        ("0..0.5", 0, 0.5, False),
        ("1.0..8", 1.0, 8, False),
        ("log:1e-4..1e-2", 1e-4, 1e-2, True),
        (" log:1..1000 ", 1, 1000, True),
    ],
)
def test_a_range(text: str, low: float, high: float, log: bool) -> None:
    found = read(text)
    assert found == Range(f"key={text}", "key", low, high, log)
    assert isinstance(found, Range)
    assert found.integers == (type(low) is type(high) is int)
    assert {type(end) for end in found.probes} == {int if found.integers else float}


@pytest.mark.parametrize(
    "text",
    [
        *("3", "", "adamw", "[1, 2]", "{a: 1, b: 2}", '"a,b"', "a # b, c", "a=b"),
        *("../data", "1...5", "1e-4...1e-2", ".5..1", "01..2", "a..b", "1..", "..1", '"1..2"', "[1..2]"),
        *("[1,2", "a],b", '"a,b', "log:5", "log:1-2", '"\\Uffffffff",1'),
    ],
)
def test_anything_else_is_one_value_of_all_trials(text: str) -> None:
    assert read(text) == f"key={text}"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["a.b=1,,2"], "override 'a.b=1,,2': a.b: holds an empty value; write null for none, or take the comma away"),
        (["a=1,"], "override 'a=1,': a: holds an empty value; write null for none, or take the comma away"),
        (["a=5..1"], "override 'a=5..1': a: a range goes from a smaller number to a larger one"),
        (["a=1..1.0"], "override 'a=1..1.0': a: a range goes from a smaller number to a larger one"),
        (["a=log:0..1"], "override 'a=log:0..1': a: a logarithmic range begins above 0"),
        (["a=1..1e999"], "override 'a=1..1e999': a: a range ends in finite numbers"),
        (["a=1,2", "a=3..4"], "override 'a=3..4': a: is searched by a word before this one; write one list or range"),
        (
            ["a=1"],
            "sweep: nothing to search; write a list such as seed=0,1 or a range such as "
            "train.optimizer.lr=log:1e-4..1e-2",
        ),
    ],
)
def test_what_cannot_be_searched(words: list[str], problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_space(words)
    assert caught.value.problems == [problem]


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        read_space(["a=1,", "b=2..1", "c=1,2"])
    assert len(caught.value.problems) == 2


def test_a_grid_holds_every_combination_once() -> None:
    space = read_space(["a=1,2", "fixed=x", "b=p,q,r"])
    assert (space.is_grid, space.size, space.fixed) == (True, 6, ["fixed=x"])
    combinations = list(space.combinations())
    assert [tuple(c.values()) for c in combinations] == list(itertools.product("12", "pqr"))
    assert space.overrides(combinations[4]) == ["a=2", "fixed=x", "b=q"]
    assert not read_space(["a=1,2", "b=1..2"]).is_grid


plain = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_./-]*", fullmatch=True) | st.integers().map(str)
quoted = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=12).map(
    lambda text: yaml.dump(text, default_style='"', width=math.inf).strip()
)
scalars = plain | quoted
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3).map(
            lambda entries: "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"
        )
    ),
    max_leaves=6,
)


@given(st.lists(values, min_size=2, max_size=5), st.sampled_from([",", ", ", " ,"]))
def test_values_joined_by_commas_are_read_back_as_they_were_written(items: list[str], comma: str) -> None:
    found = read(comma.join(items))
    assert isinstance(found, Choices)
    assert list(found.values) == items


numbers = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)


@given(numbers, numbers, st.booleans())
def test_a_range_has_the_ends_that_were_written(one: float, other: float, log: bool) -> None:
    low, high = sorted((one, other))
    text = f"{'log:' if log else ''}{low}..{high}"
    if low == high or (log and low <= 0):
        with pytest.raises(RecipeError):
            read(text)
        return
    found = read(text)
    assert isinstance(found, Range)
    assert (found.low, found.high, found.log) == (low, high, log)
    assert (type(found.low), type(found.high)) == (type(low), type(high))


@given(st.lists(st.text(max_size=30) | st.builds("{}={}".format, plain, st.text(",.[]{}'\"#:12ae\\ ", max_size=12))))
def test_whatever_is_written_is_kept_or_refused(words: list[str]) -> None:
    try:
        space = read_space(words)
    except RecipeError:
        return
    assert space.given == words
    for word in space.searched:
        assert isinstance(word, Range) or (len(word.values) > 1 and all(word.values))
