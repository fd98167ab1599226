"""Where a map is good and where it is not: its metrics group by group."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from torch import Tensor


@frozen
class GroupScores:
    """``group``: its number in the pairs. ``scores``: means over its rows, NaN where none of them counts."""

    group: int
    rows: int
    scores: Mapping[str, float]


def score_groups(by_row: Mapping[str, Tensor], group_ids: Tensor, metric: str) -> list[GroupScores]:
    """Every group of ``group_ids`` (int64 ``[n]``), the lowest ``metric`` first, those without a value last, and of
    equals the lower number first. ``by_row``: what :func:`core_engine.evaluation.metrics.score_rows` gives, of which
    ``metric`` is one.
    """
    ids, groups = group_ids.unique(return_inverse=True)
    means = {name: _means(values, groups, len(ids)) for name, values in by_row.items()}
    order = means[metric].argsort(stable=True)  # NaN sorts behind all numbers
    columns = {name: values[order].tolist() for name, values in means.items()}
    rows = zip(ids[order].tolist(), groups.bincount()[order].tolist(), strict=True)
    return [
        GroupScores(group, size, {name: values[place] for name, values in columns.items()})
        for place, (group, size) in enumerate(rows)
    ]


def _means(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """Of each group, without values that are NaN."""
    counted = ~values.isnan()
    sums = values.new_zeros(count).index_add_(0, groups[counted], values[counted])
    return sums / groups[counted].bincount(minlength=count)
