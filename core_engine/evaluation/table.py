"""The evaluation as a table for the console: a row for each map, a column for each metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.table import Table

# Broken into lines, so that the whole table fits a terminal of 80 characters.
HEADINGS: Final[Mapping[str, str]] = {
    "cosine": "cos",
    "cosine_shuffled": "shuf-\nfled",
    "cosine_gap": "gap",
    "cosine_centred": "cen-\ntred",
    "recall@1": "R@1",
    "recall@10": "R@10",
    "mrr@10": "MRR\n@10",
    "ndcg@10": "nDCG\n@10",
    "within_recall@1": "within\nR@1",
    "within_mrr": "within\nMRR",
    "alignment": "align-\nment",
    "uniformity": "unifor-\nmity",
    "effective_rank": "effec-\ntive\nrank",
    "anisotropy": "aniso-\ntropy",
    "hubness": "hub-\nness",
    "cka": "CKA",
    "rank_correlation": "rank\ncorr.",
    "overlap@10": "over-\nlap\n@10",
    "question_cosine": "ques-\ntion\ncos",
    "question_gap": "ques-\ntion\ngap",
}


def render(
    rows: Mapping[str, Mapping[str, float]],
    highlight: str,
    parameters: Mapping[str, int] | None = None,
) -> Table:
    """``rows``: name of the map -> its metrics, as :func:`core_engine.evaluation.metrics.evaluate` gives them.

    The row named ``highlight`` is bold. ``parameters`` adds a column with the number of parameters of the maps
    named in it. Columns come in the order in which the metrics first appear; a metric that a row lacks is left
    blank. ``constant_cosine`` is one number for all maps, and so stands in the caption.
    """
    from rich import box
    from rich.table import Table

    metrics = list(dict.fromkeys(name for row in rows.values() for name in row if name != "constant_cosine"))
    constant = next((row["constant_cosine"] for row in rows.values() if "constant_cosine" in row), None)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=0,
        caption=None if constant is None else f"A constant vector would get a cosine of {constant:.3f}.",
        caption_justify="left",
    )
    table.add_column("map", no_wrap=True)
    if parameters is not None:
        table.add_column("param-\neters", justify="right", no_wrap=True)
    for name in metrics:
        table.add_column(HEADINGS.get(name, name), justify="right", no_wrap=True)
    for name, row in rows.items():
        counts = [] if parameters is None else [_short(parameters[name]) if name in parameters else ""]
        values = [f"{row[metric]:.3f}" if metric in row else "" for metric in metrics]
        table.add_row(name, *counts, *values, style="bold" if name == highlight else None)
    return table


def _short(count: int) -> str:
    """Three digits at most: 384, 2.7k, 147k, 7.2M, 128M."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= size:
            return f"{count / size:.1f}{unit}" if count < 10 * size else f"{count / size:.0f}{unit}"
    return str(count)
