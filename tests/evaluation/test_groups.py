from __future__ import annotations

import math

import torch

from core_engine.evaluation.groups import score_groups

NAN = math.nan


def test_groups_come_worst_first_with_their_means() -> None:
    groups = torch.tensor([5, 2, 5, 9, 2, 5])
    by_row = {
        "mrr@10": torch.tensor([1.0, 0.5, 0.0, 0.25, 0.0, 0.5], dtype=torch.float64),
        "within_mrr": torch.tensor([1.0, 0.5, NAN, NAN, 1.0, 0.5], dtype=torch.float64),
    }
    found = score_groups(by_row, groups, "mrr@10")
    assert [(each.group, each.rows, each.scores["mrr@10"]) for each in found] == [
        (2, 2, 0.25),
        (9, 1, 0.25),
        (5, 3, 0.5),
    ]
    assert found[0].scores["within_mrr"] == found[2].scores["within_mrr"] == 0.75
    assert math.isnan(found[1].scores["within_mrr"])

    found = score_groups(by_row, groups, "within_mrr")
    assert [each.group for each in found] == [2, 5, 9]  # nothing can be said of the last


def test_group_means_make_up_the_whole() -> None:
    source = torch.Generator().manual_seed(0)
    groups = torch.randint(40, (500,), generator=source) * 3
    values = torch.rand(500, generator=source, dtype=torch.float64)
    found = score_groups({"cosine": values}, groups, "cosine")
    assert sum(each.rows for each in found) == 500
    assert math.isclose(sum(each.rows * each.scores["cosine"] for each in found) / 500, float(values.mean()))
    means = [each.scores["cosine"] for each in found]
    assert means == sorted(means)
