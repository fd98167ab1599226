"""Draws ``curves.png``: the loss by step, and the monitored metric of the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core_engine.contracts.objects import Record


def draw_curves(history: Sequence[Record], monitor: str, best_step: int | None, path: Path) -> None:
    """Writes a PNG of two panels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    loss_axes, metric_axes = figure.subplots(1, 2)
    for kind, label in (("train", "training"), ("evaluation", "validation")):
        records = [record for record in history if record.kind == kind]
        loss_axes.plot([r.step for r in records], [r.values["loss"] for r in records], marker=".", label=label)
    loss_axes.set(xlabel="optimiser step", ylabel="loss", title="Loss")
    loss_axes.legend()
    evaluations = [record for record in history if record.kind == "evaluation"]
    metric_axes.plot([r.step for r in evaluations], [r.values[monitor] for r in evaluations], marker=".")
    metric_axes.set(xlabel="optimiser step", ylabel=monitor, title=f"Validation {monitor}")
    if best_step is not None:
        metric_axes.axvline(best_step, linestyle=":", color="grey", label=f"best, step {best_step}")
        metric_axes.legend()
    beside = path.with_name(f".{path.name}")
    try:
        figure.savefig(beside, dpi=120, format="png")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
