from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core_engine.evaluation import intervals
from core_engine.evaluation.intervals import Interval


def interval(values: Tensor, group_ids: Tensor | None, **options: float) -> Interval:
    found = intervals.interval(values, group_ids, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


def drawn(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rows_of_their_own_have_the_interval_of_the_normal_distribution() -> None:
    values = drawn(1000)
    found = interval(values, None)
    error = values.std().item() / 1000**0.5
    assert found.value == pytest.approx(values.mean().item())
    assert found.low == pytest.approx(found.value - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(found.value + 1.96 * error, abs=0.1 * error)


def test_rows_that_repeat_within_a_group_tell_no_more_than_one() -> None:
    values = drawn(100)
    alone = interval(values, None)
    often = interval(values.repeat(30), torch.arange(100).repeat(30))
    assert (often.low, often.high) == pytest.approx((alone.low, alone.high), abs=1e-9)
    fooled = interval(values.repeat(30), None)
    assert fooled.high - fooled.low < 0.3 * (alone.high - alone.low)


def test_it_holds_the_true_mean_as_often_as_it_says() -> None:
    held = 0
    for seed in range(300):
        group = torch.arange(200) // 4
        values = drawn(50, 2 * seed)[group] + drawn(200, 2 * seed + 1)
        found = interval(values, group, level=0.9, seed=seed)
        held += found.low <= 0 <= found.high
    assert 0.84 < held / 300 < 0.95


def test_large_groups_weigh_more() -> None:
    values = torch.tensor([1.0] * 9 + [0.0])
    assert interval(values, torch.tensor([0] * 9 + [1])).value == pytest.approx(0.9)


def test_rows_that_do_not_count_are_left_out() -> None:
    values = torch.cat([drawn(50), torch.full((50,), torch.nan, dtype=torch.float64)])
    groups = torch.arange(100) // 2
    assert interval(values, groups) == interval(values[:50], groups[:50])
    assert intervals.interval(torch.full((3,), torch.nan), None) is None


def test_one_group_tells_nothing_of_others() -> None:
    found = interval(drawn(50), torch.zeros(50, dtype=torch.int64))
    assert found.value == pytest.approx(drawn(50).mean().item())
    assert math.isnan(found.low)
    assert math.isnan(found.high)
