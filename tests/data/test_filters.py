from __future__ import annotations

from core_engine import Example
from core_engine.data.filters import filter_examples
from core_engine.recipe.schema import Filters


def pairs(*texts: tuple[str, str]) -> list[Example]:
    return [Example(f"r{i}", question, answer) for i, (question, answer) in enumerate(texts)]


def kept(rows: list[Example], filters: Filters, training: bool = True) -> tuple[list[str], dict[str, int]]:
    filtered = filter_examples(rows, filters, training)
    return [row.id for row in filtered.rows], filtered.dropped


def test_each_rule_counts_what_it_drops() -> None:
    rows = pairs(
        ("q", "long answer"), ("", "answer"), ("same", " same "), ("good question", "good answer"), ("x" * 99, "y" * 5)
    )
    assert kept(rows, Filters(min_chars=4, max_chars=50)) == (
        ["r3"],
        {"min_chars": 1, "empty": 1, "drop_identical": 1, "max_chars": 1},
    )


def test_duplicates_fall_in_training_only_by_default() -> None:
    rows = pairs(("a", "b"), ("a", "c"), ("a", "b"))
    assert kept(rows, Filters()) == (["r0", "r1"], {"drop_duplicates": 1})
    assert kept(rows, Filters(), training=False) == (["r0", "r1", "r2"], {})
    assert kept(rows, Filters(drop_duplicates="all"), training=False)[0] == ["r0", "r1"]
    assert kept(rows, Filters(drop_duplicates="none"))[0] == ["r0", "r1", "r2"]


def test_a_question_equal_to_its_answer_may_be_kept() -> None:
    assert kept(pairs(("a", "a")), Filters(drop_identical=False))[0] == ["r0"]
