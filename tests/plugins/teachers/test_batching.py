from __future__ import annotations

from core_engine_teachers.batching import BatchQueue
from hypothesis import given
from hypothesis import strategies as st

LENGTHS = st.lists(st.integers(1, 50), max_size=60)


def drain(queue: BatchQueue) -> list[list[int]]:
    return list(iter(queue.take, []))


@given(lengths=LENGTHS, budget=st.integers(1, 200))
def test_batches_hold_every_text_once_and_keep_the_budget(lengths: list[int], budget: int) -> None:
    queue = BatchQueue(lengths, budget)
    number = len(queue)
    batches = drain(queue)
    assert len(batches) == number
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


@given(lengths=LENGTHS, budget=st.integers(1, 2000), room=st.integers(50, 100))
def test_what_does_not_fit_comes_again_in_smaller_batches(lengths: list[int], budget: int, room: int) -> None:
    queue = BatchQueue(lengths, budget)
    done: list[int] = []
    while batch := queue.take():
        if queue.padded(batch) > room:
            before = queue.budget
            assert queue.give_back(batch)
            assert queue.budget <= before // 2
        else:
            done += batch
    assert sorted(done) == list(range(len(lengths)))
    assert queue.budget >= min(budget, room // 2)


def test_two_that_fail_side_by_side_halve_the_budget_once() -> None:
    queue = BatchQueue([10] * 8, 40)
    one, other = queue.take(), queue.take()
    assert (queue.give_back(one), queue.give_back(other), queue.budget) == (True, False, 20)
    assert drain(queue) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_texts_of_like_length_stand_together_longest_first() -> None:
    assert drain(BatchQueue([3, 9, 3, 10, 4], budget=20)) == [[3, 1], [4, 0, 2]]


def test_a_budget_is_filled_before_a_new_batch_begins() -> None:
    assert [len(batch) for batch in drain(BatchQueue([5] * 10, budget=20))] == [4, 4, 2]
