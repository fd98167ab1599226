from __future__ import annotations

import math

import pytest
import torch

from core_engine.evaluation.history import history_gain
from core_engine.evaluation.intervals import interval


def doubles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_only_rows_with_a_history_count() -> None:
    whole = {"mrr@10": doubles(1, 1, 0.5, 0), "within_mrr": doubles(1, math.nan, math.nan, 1)}
    alone = {"mrr@10": doubles(0, 0.5, 0.25, 0), "within_mrr": doubles(0, math.nan, math.nan, 1)}
    found = history_gain(whole, alone, torch.tensor([1, 2]), None)
    assert found["with"] == {"mrr@10": 0.75}  # the other one has no value there
    assert found["without"] == {"mrr@10": 0.375}
    assert found["gain"] == {"mrr@10": [0.375, 0.25, 0.5]}


def test_the_interval_is_paired_and_by_group() -> None:
    source = torch.Generator().manual_seed(0)
    groups, rows = torch.arange(200) // 10, torch.arange(0, 200, 2)
    alone = torch.rand(200, generator=source, dtype=torch.float64)
    whole = alone + 0.1 + 0.01 * torch.randn(200, generator=source, dtype=torch.float64)
    value, low, high = history_gain({"cosine": whole}, {"cosine": alone}, rows, groups)["gain"]["cosine"]
    expected = interval((whole - alone)[rows], groups[rows])
    assert expected is not None
    assert (value, low, high) == (expected.value, expected.low, expected.high)
    assert value == pytest.approx(0.1, abs=0.005)
    assert high - low < 0.01  # where the values themselves vary by 0.3
