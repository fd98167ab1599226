"""Whether a run's figures are still what they were."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core_engine.report.gather import differing


@pytest.mark.parametrize(
    ("rows", "figure", "differs"),
    [
        ([0.5, 1.0], 0.75, False),
        ([0.5, 1.0], 0.7502, True),
        ([0.5, math.nan], 0.5, False),  # a row that does not count
        ([math.nan, math.nan], None, False),  # none does: groups of one row have no within_mrr
        ([math.nan, math.nan], 0.5, True),
        ([0.5, 1.0], None, True),
        ([0.0, 0.0], None, True),
    ],
)
def test_a_figure_differs(rows: list[float], figure: float | None, differs: bool) -> None:
    by_row: dict[str, Tensor] = {"within_mrr": torch.tensor(rows)}
    assert differing(by_row, {"within_mrr": figure}) == (["within_mrr"] if differs else [])
