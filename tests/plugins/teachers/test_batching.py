from __future__ import annotations

from core_engine_teachers.batching import token_batches
from hypothesis import given
from hypothesis import strategies as st


@given(lengths=st.lists(st.integers(1, 50), max_size=60), budget=st.integers(1, 200))
def test_batches_hold_every_text_once_and_keep_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(token_batches(lengths, budget))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


def test_texts_of_like_length_stand_together_longest_first() -> None:
    assert list(token_batches([3, 9, 3, 10, 4], budget=20)) == [[3, 1], [4, 0, 2]]


def test_a_budget_is_filled_before_a_new_batch_begins() -> None:
    assert [len(batch) for batch in token_batches([5] * 10, budget=20)] == [4, 4, 2]
