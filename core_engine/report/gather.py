"""All figures of a report, computed from a finished run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from torch import Tensor

from core_engine.assembly.held_out import HeldOut, apply_to
from core_engine.assembly.space import score_space
from core_engine.assembly.untrained import unfitted_baselines, untrained_output
from core_engine.errors import CheckpointError
from core_engine.evaluation.metrics import score_rows, summary
from core_engine.evaluation.signal import Signal, study_signal
from core_engine.host.host import PluginHost
from core_engine.report.distributions import Cosines, cosine_distributions, recall_curve
from core_engine.report.error_analysis import Candidates, ShownRow, Slice, best_and_worst, by_length, worst_groups
from core_engine.report.verdict import WITHIN, Comparison, Verdict, compare, judge, verdict_metric
from core_engine.run.folder import LOCK_FILE
from core_engine.run.result import read_result
from core_engine.training.inference import INFERENCE_SEED

METRICS_FILE = "metrics.jsonl"
#: How far recall curves go.
_FAR = 100
#: A figure that differs by more than this from the run's own is another figure.
_SAME = 1e-4

Record = Mapping[str, Any]


@frozen(eq=False)
class Facts:
    """``table``: map -> metrics, and ``parameters`` where known; the core first. ``records``: of the run's history,
    None where the run kept none. ``data``: the file whose rows these are, None for the run's own test split.
    ``teacher_*``: of the embeddings as they are, None where input and target have different dimensions. ``space``: see
    :func:`core_engine.assembly.space.score_space`. ``notes``: what is missing or amiss.
    """

    result: Mapping[str, Any]
    recipe_text: str
    data: Path | None
    monitor: str
    verdict: Verdict
    table: Mapping[str, Mapping[str, float | None]]
    rows: int
    candidates: int
    dropped: Mapping[str, int]
    records: list[Record] | None
    cosines: Cosines
    teacher_cosines: Cosines | None
    space: Mapping[str, Mapping[str, float]]
    recalls: Mapping[str, list[float]]
    best: list[ShownRow]
    worst: list[ShownRow]
    groups: list[Slice]
    lengths: list[Slice]
    signal: Signal
    has_shortcut: bool
    notes: list[str]


def gather(run_dir: Path, data: Path | None, corpus: Path | None, host: PluginHost) -> Facts:
    """Applies the run's best core to its own test split, or to the rows of ``data``, and computes what the report says.

    CheckpointError for a run that is not finished or damaged; DataError where its data cannot be read any more.
    """
    result = read_result(run_dir)
    held_out = apply_to(run_dir, data, corpus, host)
    pairs, core = held_out.pairs, held_out.core
    by_row = score_rows(held_out.output, pairs, held_out.corpus)
    found = summary(held_out.output, pairs, by_row)
    unfitted = unfitted_baselines(core, pairs)
    own_split = data is None and corpus is None
    others = {name: score_rows(output, pairs, held_out.corpus) for name, output in unfitted.items()}
    if own_split:
        untrained = score_rows(untrained_output(held_out), pairs, held_out.corpus)
        if not differing(untrained, result["untrained"]):
            others["untrained core"] = untrained
    table: dict[str, Mapping[str, float | None]] = {"core": {**found, "parameters": result["parameters"]}}
    if own_split:
        table |= {"untrained core": result["untrained"], **result["baselines"]}
    else:
        table |= {name: {**summary(unfitted[name], pairs, others[name]), "parameters": 0} for name in unfitted}
    candidates = Candidates(held_out)
    ranks = {name: candidates.ranks(output) for name, output in {"core": held_out.output, **unfitted}.items()}
    device = core.normalizer.input_mean.device
    signal = study_signal(core, pairs.inputs.to(device), pairs.targets.to(device), INFERENCE_SEED)
    metric = verdict_metric(held_out.recipe, by_row)
    by_map = {"core": by_row[metric], **({"teacher": others["identity"][metric]} if "identity" in others else {})}
    best, worst = best_and_worst(held_out, candidates, ranks["core"], ranks.get("identity"))
    far = min(_FAR, len(candidates.vectors))
    records = _records(run_dir / METRICS_FILE)
    return Facts(
        result=result,
        recipe_text=(run_dir / LOCK_FILE).read_text(encoding="utf-8"),
        data=data,
        monitor=held_out.recipe.train.monitor,
        verdict=_verdict(held_out, metric, by_row, others, table, signal),
        table=table,
        rows=len(pairs),
        candidates=len(candidates.vectors),
        dropped=_dropped(held_out),
        records=records,
        cosines=cosine_distributions(held_out.output, pairs),
        teacher_cosines=cosine_distributions(pairs.inputs, pairs) if "identity" in unfitted else None,
        space=score_space(held_out),
        recalls={name: recall_curve(of, far) for name, of in ranks.items()},
        best=best,
        worst=worst,
        groups=worst_groups(held_out, by_map),
        lengths=by_length(held_out, by_map),
        signal=signal,
        has_shortcut=core.shortcut is not None,
        notes=_notes(held_out, result, by_row, records, own_split=own_split),
    )


def _verdict(
    held_out: HeldOut,
    metric: str,
    by_row: Mapping[str, Tensor],
    others: Mapping[str, Mapping[str, Tensor]],
    table: Mapping[str, Mapping[str, float | None]],
    signal: Signal,
) -> Verdict:
    groups = held_out.pairs.group_ids
    core = float(by_row[metric].nanmean())
    figures = {name: row[metric] for name, row in table.items() if name != "core" and row[metric] is not None}
    comparisons: dict[str, Comparison] = {}
    for name, value in figures.items():
        other = others[name][metric] if name in others else value
        assert other is not None  # noqa: S101 - those are left out
        comparisons[name] = compare(name, by_row[metric], other, groups, core)
    among_all = None
    if metric == WITHIN and "identity" in others:
        own, identity = by_row["mrr@10"], others["identity"]["mrr@10"]
        among_all = compare("identity", own, identity, groups, float(own.mean()))
    baselines = {name: value for name, value in figures.items() if name != "untrained core" and value is not None}
    return judge(
        held_out.recipe,
        metric,
        comparisons,
        max(baselines, key=lambda name: baselines[name]) if baselines else None,
        constant=signal.output_is_constant,
        parameters={name: int(row["parameters"] or 0) for name, row in table.items() if "parameters" in row},
        among_all=among_all,
    )


def differing(by_row: Mapping[str, Tensor], figures: Mapping[str, float | None]) -> list[str]:
    """Metrics whose mean over rows is not the figure, None being that of no row."""
    found = []
    for name, values in by_row.items():
        mean, figure = float(values.nanmean()), figures[name]
        if not (math.isnan(mean) if figure is None else abs(mean - figure) <= _SAME):
            found.append(name)
    return found


def _dropped(held_out: HeldOut) -> dict[str, int]:
    dropped = held_out.report["dropped"]
    assert isinstance(dropped, dict)  # noqa: S101 - as prepare makes it
    return {rule: count for rules in dropped.values() for rule, count in rules.items()}


def _records(path: Path) -> list[Record] | None:
    """The run's history, None where it has none. CheckpointError where it is damaged."""
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise CheckpointError(f"{path}:{number}: damaged: not a mapping")
    return records


def _notes(
    held_out: HeldOut,
    result: Mapping[str, Any],
    by_row: Mapping[str, Tensor],
    records: list[Record] | None,
    *,
    own_split: bool,
) -> list[str]:
    notes = []
    if own_split:
        changed = differing(by_row, result["test"])
        if changed:
            notes.append(
                f"The core's figures here are not those in result.json ({', '.join(changed)} differ): the data, the "
                f"teacher or the engine has changed since the run. The other rows of the table are the run's own."
            )
    else:
        notes.append(
            "Nothing checks whether training has seen these rows: if it has, neither the verdict nor a figure says how "
            "the core does on others."
        )
        notes.append("Only maps that need no fitting stand beside the core: the others would need the training data.")
    if not isinstance(held_out.rows[0].input, str):
        notes.append("The rows are embeddings without texts: examples show the rows' ids, and there are no lengths.")
    if records is None:
        notes.append(f"The run kept no {METRICS_FILE} (logger jsonl), so there are no training curves.")
    return notes
