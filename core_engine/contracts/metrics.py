"""The metrics a run can watch, by name. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

#: Which way is better, for every metric that depends on the map. ``constant_cosine`` does not, so nothing can watch it.
METRICS: Final[Mapping[str, Literal["max", "min"]]] = {
    "cosine": "max",
    "cosine_shuffled": "min",
    "cosine_gap": "max",
    "cosine_centred": "max",
    "recall@1": "max",
    "recall@10": "max",
    "mrr@10": "max",
    "ndcg@10": "max",
    "within_recall@1": "max",
    "within_mrr": "max",
}

#: Metrics that exist only where the rows have groups.
NEED_GROUPS: Final = frozenset({"within_recall@1", "within_mrr"})


def why_not_watch(metric: str, groups: bool) -> str | None:
    """Why ``metric`` cannot be watched on data with or without groups; None if it can."""
    known = [name for name in METRICS if groups or name not in NEED_GROUPS]
    if metric in known:
        return None
    if metric in NEED_GROUPS:
        return f"metric {metric!r} needs rows with groups, and these have none; choose one of {', '.join(known)}"
    return f"there is no metric {metric!r}; choose one of {', '.join(known)}"
