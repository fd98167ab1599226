"""The figures of what goes on inside the lattice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core_engine.report.drawing import Drawing, drawn, legend, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from core_engine.evaluation.signal import Signal

#: Slices that are shown at most, and cells in all of them above which they are drawn as pictures.
_MOST_SLICES, _MOST_CELLS = 12, 512


def lattice_figures(signal: Signal) -> list[Drawing]:
    """In the order of the page; that of the gradient is left out where there is none."""
    steps = range(len(signal.state_rms))
    figures = [
        _by_step(
            "state_size",
            "Size of the state",
            f"Root mean square of the state's values: {_ends(signal.state_rms.tolist())}. Growth by orders of "
            f"magnitude, or a fall to zero, means that the cells do not keep the signal.",
            {"state": signal.state_rms.tolist()},
            "root mean square",
        ),
        _by_step(
            "reach",
            "What is connected, and what is dead",
            f"After {len(steps) - 1} steps {signal.reach[-1].share_of_inputs:.0%} of the input cells can reach an "
            f"output cell, {signal.reach[-1].share_of_pairs:.0%} of all pairs of input and output cells are connected, "
            f"and {float(signal.dead[-1]):.0%} of the cells are dead: their state is the same for all rows.",
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
            f"By how much the mean cosine with the target falls if a cell's last state is replaced by its mean over "
            f"rows: {most:.4f} at most, {float(signal.importance.min()):.4f} at least, "
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
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        for number, (label, values) in enumerate(series.items()):
            axes.plot(range(len(values)), values, **look(number), label=label)
        axes.set(xlabel="step", ylabel=ylabel, **({"yscale": "log"} if logarithmic else {}))
        if not logarithmic:
            axes.set_ylim(0, 1.08 * (max(map(max, series.values())) or 1.0))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(series) > 1:
            legend(axes)

    return drawn(name, title, caption, draw)


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
                rasterized=cells[:, :, shown].numel() > _MOST_CELLS,
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
