from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_engine import Example
from core_engine.data.split import require_disjoint, require_held_out, split_by_group
from core_engine.errors import DataError

SHARES = {"validation": 0.2, "test": 0.2}


def rows_of(groups: list[str | None]) -> list[Example]:
    return [Example(f"r{i}", f"question {i}", f"answer {i}", group) for i, group in enumerate(groups)]


@given(st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=60), st.integers(0, 5))
def test_groups_stay_whole_and_no_row_is_lost(groups: list[str], seed: int) -> None:
    rows = rows_of(list(groups))
    if len(set(groups)) < 3:
        with pytest.raises(DataError, match="cannot be split"):
            split_by_group(rows, SHARES, seed)
        return
    parts = split_by_group(rows, SHARES, seed)
    require_disjoint(parts)
    assert sorted(row.id for part in parts.values() for row in part) == sorted(row.id for row in rows)
    assert all(parts.values())


@given(st.permutations(range(40)), st.integers(0, 3))
def test_the_split_depends_on_seed_and_groups_not_on_row_order(order: list[int], seed: int) -> None:
    rows = rows_of([f"g{i % 10}" for i in range(40)])
    ids = {part: {r.id for r in members} for part, members in split_by_group(rows, SHARES, seed).items()}
    shuffled = split_by_group([rows[i] for i in order], SHARES, seed)
    assert {part: {r.id for r in members} for part, members in shuffled.items()} == ids


def test_another_seed_gives_another_split() -> None:
    rows = rows_of([f"g{i % 20}" for i in range(100)])
    splits = {frozenset(r.id for r in split_by_group(rows, SHARES, seed)["test"]) for seed in range(5)}
    assert len(splits) > 1


def test_shares_are_kept_where_groups_are_small() -> None:
    parts = split_by_group(rows_of([f"g{i}" for i in range(1000)]), SHARES, 0)
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 600, "validation": 200, "test": 200}


def test_rows_without_a_group_that_share_a_text_stay_together() -> None:
    rows = [Example(f"r{i}", f"question {i // 2}", f"answer {i}") for i in range(200)]
    part_of = {r.id: part for part, members in split_by_group(rows, SHARES, 0).items() for r in members}
    assert all(part_of[f"r{i}"] == part_of[f"r{i + 1}"] for i in range(0, 200, 2))
    assert len(set(part_of.values())) == 3


def test_a_group_in_two_files_is_an_error_that_names_it() -> None:
    parts = {"train": [Example("a", "q", "a", "paris")], "test": [Example("b", "q2", "a2", "paris")]}
    with pytest.raises(DataError, match=r"'paris' stands in train and in test \(row 'b'\)"):
        require_disjoint(parts)


@given(st.permutations(range(12)))
def test_rows_without_groups_split_the_same_in_any_order(order: list[int]) -> None:
    rows = [Example(f"r{i}", f"question {i // 2}", f"answer {i // 3}") for i in range(12)]
    ids = {part: {r.id for r in members} for part, members in split_by_group(rows, {"test": 0.4}, 0).items()}
    shuffled = split_by_group([rows[i] for i in order], {"test": 0.4}, 0)
    assert {part: {r.id for r in members} for part, members in shuffled.items()} == ids


def test_a_held_out_pair_without_a_group_that_stands_in_training_is_an_error() -> None:
    parts = {
        "train": [Example("a", "q", "a"), Example("b", "q2", "a2")],
        "validation": [Example("v", "q3", "a3")],
        "test": [Example("t", "q ", "a")],
    }
    with pytest.raises(DataError, match=r"row 't' of test stands in train as well \(row 'a'\)"):
        require_held_out(parts)
    require_held_out({**parts, "test": [Example("t", "q", "another answer")]})
