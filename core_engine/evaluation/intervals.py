"""How far a mean over held-out rows can be trusted: intervals by resampling groups."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

#: Samples drawn, and those at a time.
_SAMPLES, _BLOCK = 2000, 100


@frozen
class Interval:
    """A mean, and the ends of its interval: NaN where there are too few groups to tell."""

    value: float
    low: float
    high: float


def interval(values: Tensor, group_ids: Tensor | None, *, level: float = 0.95, seed: int = 0) -> Interval | None:
    """Mean of ``values [n]`` without those that are NaN, and its percentile interval by the cluster bootstrap.

    Whole groups (int64 ``[n]``; each row is one where None) are drawn with replacement, as many as there are, since
    rows of one group are alike and new data would come as new groups (Efron and Tibshirani, 1993, "An Introduction to
    the Bootstrap"; Field and Welsh, 2007, "Bootstrapping clustered data"). For two maps on the same rows give the
    difference of their values: the interval is then paired, and the maps differ where it leaves out 0.

    None where no value is a number; an interval without ends where all are of one group.
    """
    counted = ~values.isnan()
    if not counted.any():
        return None
    kept = values[counted].double().cpu()
    groups = torch.arange(len(values)) if group_ids is None else group_ids.cpu()
    _, groups = groups[counted.cpu()].unique(return_inverse=True)
    sizes = groups.bincount().double()
    sums = torch.zeros_like(sizes).index_add_(0, groups, kept)
    value = float(kept.mean())
    if len(sizes) < 2:
        return Interval(value, math.nan, math.nan)
    source = torch.Generator().manual_seed(seed)
    count = len(sizes)
    means = []
    for _ in range(_SAMPLES // _BLOCK):
        drawn = torch.randint(count, (_BLOCK, count), generator=source)
        means.append(sums[drawn].sum(1) / sizes[drawn].sum(1))
    tail = (1 - level) / 2
    low, high = torch.cat(means).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(value, low, high)
