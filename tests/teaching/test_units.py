from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from core_engine.teaching.units import by_length, cut

TEXTS = st.lists(st.text(min_size=1, max_size=60), unique=True, max_size=40)


@given(texts=TEXTS, chars=st.integers(1, 200))
def test_each_text_stands_in_one_unit_longest_first(texts: list[str], chars: int) -> None:
    found = list(cut(by_length(texts), chars))
    flat = [text for unit in found for text in unit]
    assert sorted(flat) == sorted(texts)
    assert [len(text) for text in flat] == sorted(map(len, texts), reverse=True)
    assert all(found)


@given(texts=TEXTS, chars=st.integers(1, 200))
def test_a_unit_is_as_large_as_asked_and_no_larger(texts: list[str], chars: int) -> None:
    found = list(cut(by_length(texts), chars))
    for unit, following in zip(found, [*found[1:], None], strict=False):
        cost = sum(max(len(text), 16) for text in unit)
        assert cost <= chars or len(unit) == 1
        assert following is None or cost + max(len(following[0]), 16) > chars


@given(texts=TEXTS, seed=st.integers(0, 100))
def test_the_order_of_the_texts_makes_no_difference(texts: list[str], seed: int) -> None:
    shuffled = random.Random(seed).sample(texts, len(texts))
    assert by_length(shuffled) == by_length(texts)
