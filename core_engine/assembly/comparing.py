"""Finished runs beside one another, on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core_engine.assembly.held_out import apply_to
from core_engine.contracts.data import Example
from core_engine.errors import DataError
from core_engine.evaluation.intervals import interval
from core_engine.evaluation.metrics import score_rows, summary
from core_engine.host.host import PluginHost


def compare_runs(runs: Sequence[Path], data: Path, corpus: Path | None, host: PluginHost) -> list[dict[str, Any]]:
    """For each run ``run_dir``, ``parameters`` of its core, ``test`` as
    :func:`core_engine.evaluation.metrics.evaluate` gives it, and for each metric that is a mean over rows its
    ``intervals`` (low and high) and ``ahead``: how far it is ahead of the first run, with low and high, row against
    row (see :mod:`core_engine.evaluation.intervals`). Between different teachers ``ahead`` has no cosine: some give any
    two texts a high one.

    DataError where runs see other rows in the file, or other targets or groups of them, by their modes, filters or
    columns.
    """
    found: list[dict[str, Any]] = []
    first: tuple[Path, dict[str, list[str | None]], dict[str, Tensor], Tensor] | None = None
    for run in runs:
        held_out = apply_to(run, data, corpus, host)
        pairs, seen = held_out.pairs, _seen(held_out.rows)
        by_row = score_rows(held_out.output, pairs, held_out.corpus)
        if first is None:
            first = run, seen, by_row, pairs.targets
        differing = [what for what in seen if seen[what] != first[1][what]]
        if differing:
            raise DataError(
                f"{run} sees other {differing[0]} in {data} than {first[0]}: their modes, filters or columns differ, "
                f"so there is nothing to compare row by row"
            )
        entry: dict[str, Any] = {
            "run_dir": str(run),
            "parameters": sum(parameter.numel() for parameter in held_out.core.parameters()),
            "test": summary(held_out.output, pairs, by_row),
            "intervals": {},
            "ahead": {},
        }
        for name, values in by_row.items():
            of_values, of_difference = (interval(rows, pairs.group_ids) for rows in (values, values - first[2][name]))
            if of_values is not None and of_difference is not None:
                entry["intervals"][name] = [of_values.low, of_values.high]
                if name != "cosine" or _one_space(pairs.targets, first[3]):
                    entry["ahead"][name] = [of_difference.value, of_difference.low, of_difference.high]
        found.append(entry)
    return found


def _seen(rows: Sequence[Example]) -> dict[str, list[str | None]]:
    """What must be the same for every run. Embeddings as targets are of each run's own teacher."""
    return {
        "rows": [row.id for row in rows],
        "targets": [row.target if isinstance(row.target, str) else None for row in rows],
        "groups": [row.group for row in rows],
    }


def _one_space(targets: Tensor, others: Tensor) -> bool:
    """Whether one teacher gave both, in whatever precision."""
    return targets.shape == others.shape and torch.allclose(targets, others, rtol=0.01, atol=0.01)
