"""The figures of a report. No text of the data stands in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from core_engine.report.drawing import COLOURS, LINES, SERIES, Drawing, drawn, legend, look
from core_engine.report.lattice_figures import lattice_figures
from core_engine.report.verdict import LABELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from core_engine.report.distributions import Cosines
    from core_engine.report.error_analysis import Slice
    from core_engine.report.gather import Facts, Record


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
    found += lattice_figures(facts.signal)
    return {figure.name: figure for figure in found}


def _training(records: Sequence[Record], monitor: str, best_step: int | None) -> list[Drawing]:
    def values(kind: str, name: str) -> tuple[list[int], list[float]]:
        points = [(r["step"], r[name]) for r in records if r["kind"] == kind and r.get(name) is not None]
        return [step for step, _ in points], [value for _, value in points]

    def curve(figure: Figure, name: str, kinds: Mapping[str, str]) -> None:
        axes = figure.subplots()
        for number, (kind, label) in enumerate(kinds.items()):
            axes.plot(*values(kind, name), **look(number), label=label)
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
                f"What chose the best core: from {watched[0]:.3f} to {watched[-1]:.3f}, {max(watched):.3f} at most."
                f"{best}",
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
            colour = COLOURS[SERIES[number]]
            axes.stairs(heights.numpy(), cosines.edges.numpy(), color=colour, fill=True, alpha=0.25)
            axes.stairs(
                heights.numpy(),
                cosines.edges.numpy(),
                color=colour,
                linestyle=LINES[number],
                label=label,
                linewidth=1.4,
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
            axes.plot(range(1, most + 1), shares, **look(number, marker=False), label=LABELS[name])
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
            axes.bar(places, heights, 0.36, color=COLOURS[SERIES[number]], hatch=("", "//")[number], label=label,
                     edgecolor=COLOURS["ink"], linewidth=0.5)  # fmt: skip
        axes.set_xticks(range(len(lengths)), [f"{part.name}\n({part.rows:,} rows)" for part in lengths], fontsize=7)
        axes.grid(axis="x", visible=False)
        axes.set(xlabel="characters of the input", ylabel=metric)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)

    told = ", ".join(f"{part.core:.3f} at {part.name} characters" for part in lengths)
    return drawn("length", f"{metric} by length of the input", f"The core's {metric}: {told}.", draw)
