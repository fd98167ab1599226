"""The figures of a report. No text of the data stands in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from core_engine.report.drawing import COLOURS, Drawing, drawn, legend
from core_engine.report.verdict import LABELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from core_engine.evaluation.signal import Signal
    from core_engine.report.distributions import Cosines
    from core_engine.report.errors import Slice
    from core_engine.report.gather import Facts, Record

_SERIES = ("first", "second", "third", "fourth")
_LINES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")


def draw_figures(facts: Facts) -> dict[str, Drawing]:
    """By name, in the order of the page."""
    found = []
    if facts.records:
        found += _training(facts.records, facts.monitor, facts.result["best_step"])
    found.append(_cosines("cosine_core", "The core's output", facts.cosines))
    if facts.teacher_cosines is not None:
        found.append(_cosines("cosine_teacher", "The teacher as it is", facts.teacher_cosines))
    found.append(_recall(facts.recalls, facts.candidates))
    if facts.lengths:
        found.append(_lengths(facts.lengths, facts.verdict.metric))
    found += _lattice(facts.signal)
    return {figure.name: figure for figure in found}


def _training(records: Sequence[Record], monitor: str, best_step: int | None) -> list[Drawing]:
    def values(kind: str, name: str) -> tuple[list[int], list[float]]:
        points = [(r["step"], r[name]) for r in records if r["kind"] == kind and r.get(name) is not None]
        return [step for step, _ in points], [value for _, value in points]

    def curve(figure: Figure, name: str, kinds: Mapping[str, str]) -> None:
        axes = figure.subplots()
        for number, (kind, label) in enumerate(kinds.items()):
            axes.plot(*values(kind, name), **_look(number), label=label)
        if best_step is not None:
            axes.axvline(best_step, linestyle=":", color=COLOURS["muted"], label=f"best, step {best_step}")
        axes.set(xlabel="optimiser step", ylabel=name)
        legend(axes)

    best = "" if best_step is None else f" The core of step {best_step} was kept."
    trained, held_out = values("train", "loss")[1], values("evaluation", "loss")[1]
    told = [
        f"{label} from {some[0]:.3g} to {some[-1]:.3g}"
        for label, some in (("in training", trained), ("on the validation split", held_out))
        if some
    ]
    figures = [
        drawn(
            "loss",
            "Loss",
            f"What training lowers: {', '.join(told)}. Where the validation curve turns up while the training curve "
            f"falls, the core learns its training rows by heart.",
            partial(curve, name="loss", kinds={"train": "training", "evaluation": "validation"}),
        )
    ]
    watched = values("evaluation", monitor)[1]
    if monitor != "loss" and watched:
        figures.append(
            drawn(
                "validation",
                f"Validation {monitor}",
                f"What chose the best core: from {watched[0]:.3f} to {watched[-1]:.3f}, {max(watched):.3f} at most.{best}",
                partial(curve, name=monitor, kinds={"evaluation": "validation"}),
            )
        )
    return figures


def _cosines(name: str, title: str, cosines: Cosines) -> Drawing:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        both = ((cosines.true, "true pairs"), (cosines.shuffled, "shuffled pairs"))
        filled = (cosines.true + cosines.shuffled).nonzero().flatten()
        for number, (heights, label) in enumerate(both):
            colour = COLOURS[_SERIES[number]]
            axes.stairs(heights.numpy(), cosines.edges.numpy(), color=colour, fill=True, alpha=0.25)
            axes.stairs(
                heights.numpy(), cosines.edges.numpy(), color=colour, linestyle=_LINES[number], label=label, linewidth=1.4
            )
        axes.set(xlabel="cosine", ylabel="density")
        axes.set_xlim(float(cosines.edges[filled[0]]) - 0.05, float(cosines.edges[filled[-1] + 1]) + 0.05)
        legend(axes)

    return drawn(
        name,
        title,
        f"Cosine with the row's own target: {cosines.mean_true:.3f} on average; with other rows' targets "
        f"{cosines.mean_shuffled:.3f}. The less the two overlap, the easier the right target is to find.",
        draw,
    )


def _recall(recalls: Mapping[str, Sequence[float]], candidates: int) -> Drawing:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        most = 0
        for number, (name, shares) in enumerate(recalls.items()):
            most = len(shares)
            axes.plot(range(1, most + 1), shares, **_look(number, marker=False), label=LABELS[name])
        chance = [min(1.0, k / candidates) for k in range(1, most + 1)]
        axes.plot(range(1, most + 1), chance, color=COLOURS["muted"], linewidth=1, linestyle="-", label="chance")
        axes.set(xlabel="k", ylabel="recall@k", xscale="log", ylim=(0, 1.02))
        ticks = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= most]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        legend(axes)

    told = ", ".join(
        f"{LABELS[name]} {_at(shares, 1)} at k = 1 and {_at(shares, 10)} at k = 10" for name, shares in recalls.items()
    )
    return drawn(
        "recall",
        "Recall@k",
        f"Share of rows whose target is among the first k of {candidates:,} candidates: {told}.",
        draw,
    )


def _at(shares: Sequence[float], k: int) -> str:
    return f"{shares[min(k, len(shares)) - 1]:.3f}"


def _lengths(lengths: Sequence[Slice], metric: str) -> Drawing:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, (of, label) in enumerate((("core", LABELS["core"]), ("teacher", LABELS["identity"]))):
            heights = [getattr(part, of) for part in lengths]
            if None in heights:
                continue
            places = [place + 0.4 * number - 0.2 for place in range(len(lengths))]
            axes.bar(places, heights, 0.36, color=COLOURS[_SERIES[number]], hatch=("", "//")[number], label=label,
                     edgecolor=COLOURS["ink"], linewidth=0.5)  # fmt: skip
        axes.set_xticks(range(len(lengths)), [f"{part.name}\n({part.rows:,} rows)" for part in lengths], fontsize=7)
        axes.grid(axis="x", visible=False)
        axes.set(xlabel="characters of the input", ylabel=metric)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)

    told = ", ".join(f"{part.core:.3f} at {part.name} characters" for part in lengths)
    return drawn("length", f"{metric} by length of the input", f"The core's {metric}: {told}.", draw)


def _lattice(signal: Signal) -> list[Drawing]:
    steps = range(len(signal.state_rms))
    figures = [
        _by_step(
            "state_size",
            "Size of the state",
            f"Root mean square of the state's values: {_ends(signal.state_rms.tolist())}. Growth by orders of magnitude, "
            f"or a fall to zero, means that the cells do not keep the signal.",
            {"state": signal.state_rms.tolist()},
            "root mean square",
        ),
        _by_step(
            "reach",
            "What is connected, and what is dead",
            f"After {len(steps) - 1} steps {signal.reach[-1].share_of_inputs:.0%} of the input cells can reach an output "
            f"cell, {signal.reach[-1].share_of_pairs:.0%} of all pairs of input and output cells are connected, and "
            f"{float(signal.dead[-1]):.0%} of the cells are dead: their state is the same for all rows.",
            {
                "inputs that reach an output": [reach.share_of_inputs for reach in signal.reach],
                "connected pairs": [reach.share_of_pairs for reach in signal.reach],
                "dead cells": signal.dead.tolist(),
            },
            "share",
        ),
    ]
    if signal.gradient is not None:
        gradient = signal.gradient.tolist()
        figures.insert(
            1,
            _by_step(
                "gradient",
                "Gradient by depth",
                f"Mean length of the gradient of the cosine with the target, by the state after each step: "
                f"{_ends(gradient)}. Smaller by orders of magnitude at early steps, it means that they are hardly "
                f"learned from.",
                {"gradient": gradient},
                "length of the gradient",
                logarithmic=min(gradient) > 0 and max(gradient) > 10 * min(gradient),
            ),
        )
    figures.append(
        _slices(
            "cells_size",
            "Size of each cell's state",
            "Root mean square of each cell's values after the last step, slice by slice along z.",
            signal.cell_rms,
            centred=False,
        )
    )
    most = float(signal.importance.max())
    figures.append(
        _slices(
            "cells_importance",
            "Which cells count",
            f"By how much the mean cosine with the target falls if a cell's last state is replaced by its mean over rows: "
            f"{most:.4f} at most, {float(signal.importance.min()):.4f} at least, "
            f"{float(signal.importance.sum()):.3f} in sum. Below 0 the cell does harm.",
            signal.importance,
            centred=True,
        )
    )
    return figures


def _ends(values: Sequence[float]) -> str:
    return f"{values[0]:.3g} at step 0, {values[-1]:.3g} at step {len(values) - 1}"


def _by_step(
    name: str,
    title: str,
    caption: str,
    series: Mapping[str, Sequence[float]],
    ylabel: str,
    *,
    logarithmic: bool = False,
) -> Drawing:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, (label, values) in enumerate(series.items()):
            axes.plot(range(len(values)), values, **_look(number), label=label)
        axes.set(xlabel="step", ylabel=ylabel, **({"yscale": "log"} if logarithmic else {}))
        if not logarithmic:
            axes.set_ylim(bottom=0 if min(map(min, series.values())) >= 0 else None)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(series) > 1:
            legend(axes)

    return drawn(name, title, caption, draw)


#: Slices that are shown at most, and cells of one above which it is drawn as a picture.
_MOST_SLICES, _MOST_CELLS = 12, 1024


def _slices(name: str, title: str, caption: str, cells: Any, *, centred: bool) -> Drawing:
    """``cells``: ``[X, Y, Z]``."""
    depth = cells.shape[2]
    count = min(depth, _MOST_SLICES)
    shown = [round(number * (depth - 1) / max(1, count - 1)) for number in range(count)]
    columns = min(count, 4)
    rows = math.ceil(count / columns)
    largest = float(cells.abs().max()) or 1.0
    limits = (-largest, largest) if centred else (0.0, largest)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
        for panel, z in zip(panels, shown, strict=False):
            mesh = panel.pcolormesh(
                cells[:, :, z].numpy(),
                cmap="PuOr_r" if centred else "viridis",
                vmin=limits[0],
                vmax=limits[1],
                rasterized=cells[:, :, z].numel() > _MOST_CELLS,
                edgecolors="face",
                linewidth=0.2,
            )
            panel.set_title(f"z = {z}")
            panel.set_aspect("equal")
            panel.grid(visible=False)
            for axis, cells_along in ((panel.xaxis, cells.shape[1]), (panel.yaxis, cells.shape[0])):
                step = max(1, math.ceil(cells_along / 4))
                axis.set_ticks([place + 0.5 for place in range(0, cells_along, step)], range(0, cells_along, step))
        for panel in panels[count:]:
            panel.set_axis_off()
        figure.supxlabel("y", fontsize=9)
        figure.supylabel("x", fontsize=9)
        figure.colorbar(mesh, ax=list(panels), shrink=0.9)

    left_out = f" {count} of {depth} slices are shown." if count < depth else ""
    return drawn(name, title, caption + left_out, draw, (4.6, 1.4 + 1.5 * rows))


def _look(number: int, *, marker: bool = True) -> dict[str, Any]:
    return {
        "color": COLOURS[_SERIES[number]],
        "linestyle": _LINES[number],
        **({"marker": _MARKERS[number]} if marker else {}),
    }
