"""Scores a finished run on other data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from core_engine.assembly.held_out import HeldOut, apply_to
from core_engine.assembly.history import score_history
from core_engine.assembly.space import score_space
from core_engine.assembly.untrained import unfitted_baselines
from core_engine.errors import DataError
from core_engine.evaluation.groups import score_groups
from core_engine.evaluation.intervals import interval
from core_engine.evaluation.metrics import score_rows, summary
from core_engine.host.host import PluginHost


def score_run(
    run_dir: Path, data: Path, corpus: Path | None, host: PluginHost, *, by_group: bool = False, history: bool = False
) -> dict[str, Any]:
    """``run_dir``, ``test``, ``intervals`` of those of its metrics that are means over rows (metric -> low and high,
    see :mod:`core_engine.evaluation.intervals`), ``baselines`` (those that need no fitting: identity and mean shift),
    ``ahead`` (baseline -> metric -> how far the core is ahead of it, with low and high, row against row), ``space``
    (see :func:`core_engine.assembly.space.score_space`) and ``data``.

    by_group: adds ``groups``, a list of ``group`` (its name), ``rows`` and the metrics that are means over rows, worst
    first by the metric that the recipe monitors, or by mrr@10 where that is no such mean. history: adds ``history``,
    see :func:`core_engine.assembly.history.score_history`. DataError for either where the rows have none.
    """
    held_out = apply_to(run_dir, data, corpus, host)
    pairs = held_out.pairs
    by_row = score_rows(held_out.output, pairs, held_out.corpus)
    baselines = unfitted_baselines(held_out.core, pairs)
    of_baselines = {name: score_rows(output, pairs, held_out.corpus) for name, output in baselines.items()}
    scores: dict[str, Any] = {
        "run_dir": str(run_dir),
        "test": summary(held_out.output, pairs, by_row),
        "intervals": {
            name: [found.low, found.high]
            for name, values in by_row.items()
            if (found := interval(values, pairs.group_ids)) is not None
        },
        "baselines": {name: summary(output, pairs, of_baselines[name]) for name, output in baselines.items()},
        "ahead": {
            name: {
                metric: [found.value, found.low, found.high]
                for metric, values in by_row.items()
                if (found := interval(values - other[metric], pairs.group_ids)) is not None
            }
            for name, other in of_baselines.items()
        },
        "space": score_space(held_out),
        "data": held_out.report,
    }
    if by_group:
        scores["groups"] = _groups(held_out, by_row)
    if history:
        scores["history"] = score_history(held_out, by_row)
    return scores


def _groups(held_out: HeldOut, by_row: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    group_ids, monitor = held_out.pairs.group_ids, held_out.recipe.train.monitor
    if group_ids is None:
        raise DataError("no row names a group, so there is nothing to list by group; give the rows groups")
    # A row without a group is a group of its own.
    names = {
        number: row.id if row.group is None else row.group
        for number, row in zip(group_ids.tolist(), held_out.rows, strict=True)
    }
    found = score_groups(by_row, group_ids, monitor if monitor in by_row else "mrr@10")
    return [{"group": names[each.group], "rows": each.rows, **each.scores} for each in found]
