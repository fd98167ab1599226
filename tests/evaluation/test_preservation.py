from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spaces import Largest, normal, pairs_with_duplicates

from core_engine.data.pairs import Pairs
from core_engine.evaluation.preservation import preservation


def ranks(values: list[int]) -> list[float]:
    """Of integers: how many are higher, and half of the others that are equal."""
    return [sum(v > value for v in values) + (values.count(value) - 1) / 2 for value in values]


def spearman(left: list[int], right: list[int]) -> float:
    a, b = (np.array(ranks(values)) for values in (left, right))
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0


@given(
    n=st.integers(2, 30),
    dim=st.integers(2, 6),
    distinct=st.integers(2, 20),
    seed=st.integers(0, 1000),
    scores=st.integers(1, 200),
)
def test_rank_correlation_follows_its_definition(n: int, dim: int, distinct: int, seed: int, scores: int) -> None:
    """Rows of small integers, so that equal cosines are common."""
    source = np.random.default_rng(seed)
    texts, which = source.integers(-1, 2, size=(distinct, dim)), source.integers(distinct, size=n)
    which[:2] = 0, 1
    output = source.integers(-1, 2, size=(n, dim))
    pairs = Pairs(torch.zeros(n, dim), torch.from_numpy(texts[which]).float(), torch.from_numpy(which))
    found = preservation(torch.from_numpy(output).float(), pairs, scores=scores)

    def cosines(row: np.ndarray) -> list[int]:
        answers = texts[np.unique(which)]
        lengths = np.linalg.norm(answers, axis=1) * np.linalg.norm(row)
        values = np.divide(answers @ row, lengths, out=np.zeros(len(answers)), where=lengths > 0)
        return [round(value * 1e9) for value in values]

    expected = [spearman(cosines(row), cosines(texts[own])) for row, own in zip(output, which, strict=True)]
    assert found["rank_correlation"] == pytest.approx(np.mean(expected), abs=1e-9)


def test_values_by_hand() -> None:
    """Answers at 0, 50, 100 and 150 degrees. From 0 the order is 0 1 2 3; from 70, 1 2 0 3."""
    angles = torch.deg2rad(torch.tensor([0.0, 50, 100, 150]))
    targets = torch.stack([angles.cos(), angles.sin()], 1)
    output = targets.clone()
    seventy = torch.deg2rad(torch.tensor(70.0))
    output[0] = torch.stack([seventy.cos(), seventy.sin()])
    found = preservation(output, Pairs(output, targets))
    # Ranks 0 1 2 3 and 2 0 1 3: 1 - 6 (4 + 1 + 1) / (4 * 15).
    assert found["rank_correlation"] == pytest.approx((3 + 0.4) / 4)
    assert found["overlap@10"] == 1  # there are only four


def test_overlap_is_the_common_share_of_the_ten_nearest() -> None:
    pairs = pairs_with_duplicates()
    output = pairs.targets + normal(5, 80, 16)
    answers = torch.stack([pairs.targets[pairs.target_ids == i][0] for i in pairs.target_ids.unique()])

    def nearest(row: torch.Tensor) -> set[int]:
        return set(torch.cosine_similarity(row[None], answers).argsort(descending=True)[:10].tolist())

    shares = [len(nearest(row) & nearest(own)) / 10 for row, own in zip(output, pairs.targets, strict=True)]
    assert preservation(output, pairs)["overlap@10"] == pytest.approx(sum(shares) / 80)
    assert 0.3 < sum(shares) / 80 < 0.9


def test_the_teacher_keeps_what_it_says_and_chance_keeps_nothing() -> None:
    pairs = Pairs(normal(0, 400, 16), normal(1, 400, 16))
    assert preservation(7 * pairs.targets, pairs) == {
        "rank_correlation": pytest.approx(1),
        "overlap@10": pytest.approx(1),
    }
    assert preservation(-pairs.targets, pairs)["rank_correlation"] == pytest.approx(-1)
    chance = preservation(pairs.inputs, pairs)
    assert abs(chance["rank_correlation"]) < 0.05
    assert chance["overlap@10"] == pytest.approx(10 / 400, abs=0.03)


def test_rows_without_direction_count_nothing() -> None:
    pairs = Pairs(normal(0, 40, 8), normal(1, 40, 8))
    output = pairs.targets.clone()
    output[0], output[1] = 0.0, torch.nan
    found = preservation(output, pairs)
    assert found == {"rank_correlation": pytest.approx(38 / 40), "overlap@10": pytest.approx(38 / 40)}
    assert preservation(torch.zeros(40, 8), pairs) == {"rank_correlation": 0, "overlap@10": 0}


def test_memory_is_bounded() -> None:
    output = normal(0, 900, 2)
    with Largest() as largest:
        preservation(output, Pairs(output, normal(1, 900, 2)), scores=1800)
    assert largest.numel <= 900 * 2
