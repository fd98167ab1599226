"""Whether a run was any good, in words that follow from its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import torch
from attrs import frozen
from torch import Tensor

from core_engine.evaluation.intervals import interval
from core_engine.recipe.modes import Autoencoder
from core_engine.recipe.schema import Recipe

#: Names of maps, for people.
LABELS: Final[Mapping[str, str]] = {
    "core": "the core",
    "identity": "the teacher as it is",
    "mean_shift": "the mean shift",
    "untrained core": "the untrained core",
    "ridge": "ridge regression",
    "procrustes": "the best rotation (Procrustes)",
    "linear": "the trained linear map",
    "mlp": "the trained two-layer adapter",
    "gains": "the trained gains of the principal axes",
    "low_rank_16": "the trained linear map of rank 16",
    "low_rank_64": "the trained linear map of rank 64",
}


WITHIN: Final = "within_mrr"
_NO_ROW: Final = torch.tensor([math.nan])


@frozen
class Comparison:
    """The core beside another map: both figures, and by how much the core is ahead, with its 95 % interval (NaN where
    it cannot be told).

    ``paired``: whether the interval is of differences row by row. If not, the other map's outputs are not at hand: then
    its figure is taken as exact, and the interval is that of the core's own figure.
    """

    name: str
    core: float
    other: float
    low: float
    high: float
    paired: bool

    @property
    def ahead(self) -> float:
        return self.core - self.other

    @property
    def word(self) -> str:
        if math.isnan(self.low):
            return "not told apart from"
        return "better than" if self.low > 0 else "worse than" if self.high < 0 else "about level with"


@frozen
class Verdict:
    """``headline``: one sentence. ``tone``: ``good``, ``level`` or ``bad``. ``remarks``: what else must be known."""

    metric: str
    headline: str
    tone: str
    comparisons: list[Comparison]
    remarks: list[str]


def verdict_metric(recipe: Recipe, by_row: Mapping[str, Tensor]) -> str:
    """What a run of this mode is judged by, of the metrics ``by_row``: retrieval within the group where that chose the
    best core, if any row counts there.
    """
    if isinstance(recipe.mode, Autoencoder):
        return "cosine"
    return WITHIN if _told_within(recipe) and not by_row.get(WITHIN, _NO_ROW).isnan().all() else "mrr@10"


def _told_within(recipe: Recipe) -> bool:
    return recipe.train.monitor.startswith("within_")


def compare(
    name: str, core: Tensor, other: Tensor | float, group_ids: Tensor | None, metric_of_core: float
) -> Comparison:
    """``core``: the metric by row, float64 ``[n]``; ``other``: likewise, or the mean alone."""
    if isinstance(other, float):
        own = interval(core, group_ids)
        low, high = (math.nan, math.nan) if own is None else (own.low - other, own.high - other)
        return Comparison(name, metric_of_core, other, low, high, paired=False)
    found = interval(core - other, group_ids)
    low, high = (math.nan, math.nan) if found is None else (found.low, found.high)
    return Comparison(name, metric_of_core, metric_of_core - float((core - other).nanmean()), low, high, paired=True)


def judge(
    recipe: Recipe,
    metric: str,
    comparisons: Mapping[str, Comparison],
    best: str | None,
    *,
    constant: bool,
    parameters: Mapping[str, int],
    among_all: Comparison | None = None,
) -> Verdict:
    """``comparisons``: by name of the other map. ``best``: the baseline with the best figure, None without any.
    ``constant``: whether the core's output is the same for all rows. ``among_all``: the teacher as it is, by MRR@10
    among the answers of all groups, where ``metric`` is of the row's own.
    """
    trivial = isinstance(recipe.mode, Autoencoder) and not recipe.mode.evaluation_noise
    remarks = []
    if recipe.control != "none":
        remarks.append(f"This is a control run ({recipe.control}): its core is not meant to be good.")
    if trivial:
        remarks.append(
            "An autoencoder without noise on its inputs asks for the input back, which the teacher as it is gives "
            "exactly. So the measure is the untrained core, whose cells may be noisy."
        )
    if among_all is not None:
        remarks.append(
            f"Among the answers of all groups it is {among_all.word} {LABELS[among_all.name]}: mrr@10 "
            f"{among_all.core:.3f} against {among_all.other:.3f}. Recall at k and the examples below are of those."
        )
    elif metric != WITHIN and _told_within(recipe) and not trivial:
        remarks.append(
            f"The best core was chosen by {recipe.train.monitor}, which no row here has: no group has two answers."
        )
    if not comparisons:
        remarks.append("There is nothing to compare with: no baseline applies to these embeddings.")
    order = dict.fromkeys(("identity", best or "identity", "untrained core"))
    shown = [comparisons[name] for name in order if name in comparisons]
    headline, tone = _headline(comparisons, best, trivial, constant, parameters)
    return Verdict(metric, headline, tone, shown, remarks)


def _headline(
    comparisons: Mapping[str, Comparison],
    best: str | None,
    trivial: bool,
    constant: bool,
    parameters: Mapping[str, int],
) -> tuple[str, str]:
    if constant:
        return "Broken: the core gives the same output whatever it is given.", "bad"
    start = comparisons.get("identity") if not trivial else None
    start = start or comparisons.get("untrained core") or comparisons.get("mean_shift")
    if start is None:
        return "Not told: there is nothing to compare the core with.", "level"
    named = LABELS.get(start.name, start.name)
    if start.word == "worse than":
        return f"Not good: the core is worse than {named}, which costs nothing.", "bad"
    rival = comparisons.get(best or "")
    if start.word == "not told apart from":
        return f"Not told: all rows are of one group, so nothing says whether the core differs from {named}.", "level"
    if start.word == "about level with":
        more = ""
        if rival is not None and rival.word == "worse than":
            more = f" It is worse than the best baseline, {LABELS.get(rival.name, rival.name)}."
        return f"No clear gain: the core is about level with {named}, which costs nothing.{more}", "level"
    if trivial or rival is None or rival.name == start.name:
        return f"Good: the core is better than {named}.", "good"
    other = LABELS.get(rival.name, rival.name)
    size = f" ({_parameters(parameters, rival.name)})" if _parameters(parameters, rival.name) else ""
    if rival.word == "better than":
        return f"Good: the core is better than {named}, and better than the best baseline, {other}{size}.", "good"
    if rival.word == "worse than":
        return f"Mixed: the core is better than {named}, but worse than the best baseline, {other}{size}.", "level"
    return f"Good: the core is better than {named}, and about level with the best baseline, {other}{size}.", "good"


def _parameters(parameters: Mapping[str, int], other: str) -> str:
    if other not in parameters or "core" not in parameters:
        return ""
    return f"{parameters[other]:,} parameters; the core has {parameters['core']:,}"
