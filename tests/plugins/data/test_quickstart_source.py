"""The shipped pairs."""

from __future__ import annotations

from collections import Counter

from core_engine_data import Quickstart

from core_engine import DataSourceContext


def test_there_is_enough_to_train_on() -> None:
    examples = list(Quickstart().build(DataSourceContext(seed=0)).read())
    assert len(examples) >= 240
    groups = Counter(e.group for e in examples)
    assert None not in groups
    assert len(groups) >= 30
    assert min(groups.values()) >= 2  # else there is no within-group retrieval
    assert {e.metadata["difficulty"] for e in examples} == {"easy", "medium", "hard"}


def test_every_pair_is_good() -> None:
    pairs = [(e.input, e.target) for e in Quickstart().build(DataSourceContext(seed=0)).read()]
    assert len(set(pairs)) == len(pairs)
    for texts in pairs:
        for text in texts:
            assert isinstance(text, str)
            assert len(text) >= 10
            assert text == text.strip()
