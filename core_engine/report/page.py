"""The page: one HTML file that needs nothing else, and runs no script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core_engine.errors import PluginError
from core_engine.report.drawing import COLOURS, Drawing
from core_engine.report.gather import Facts
from core_engine.report.verdict import LABELS

try:
    import jinja2
    from markupsafe import Markup
except ImportError as missing:
    raise PluginError(f'a report needs the package jinja2: pip install "core-engine[report]" ({missing})') from missing

#: What each figure of the table means, in one sentence.
MEANINGS: Final[Mapping[str, str]] = {
    "cosine": "How alike output and own target are, from \N{MINUS SIGN}1 to 1 (higher is better).",
    "cosine_shuffled": "How alike output and other rows' targets are, to measure the cosine against (lower is better).",
    "cosine_gap": "Cosine less shuffled cosine (higher is better).",
    "cosine_centred": "The cosine after what all outputs, or all targets, share is taken off (higher is better).",
    "recall@1": "Share of rows whose own target is the first of all candidates (1 is perfect).",
    "recall@10": "Share of rows whose own target is among the first ten (1 is perfect).",
    "mrr@10": "One divided by the rank of the own target, 0 beyond rank 10, on average (1 is perfect: always first).",
    "ndcg@10": "As MRR@10, but falling more slowly with the rank (1 is perfect).",
    "within_recall@1": "As recall@1, among the targets of the row's own group only.",
    "within_mrr": "As MRR, without a cut-off, among the targets of the row's own group only.",
}
#: Of the space of the outputs.
OF_SPACE: Final[Mapping[str, str]] = {
    "alignment": "Mean squared distance of output and target, both of length 1 (0 is perfect, lower is better).",
    "uniformity": "How evenly directions are used (lower is more evenly; the answers' own value is a good one).",
    "effective_rank": "Over how many dimensions the outputs are spread. Far below the answers' own: a collapse.",
    "anisotropy": "How alike unrelated outputs are. Near 1, all point one way, and cosines tell little apart.",
    "hubness": "Whether a few answers are near to everything (0: none; some is usual).",
    "cka": "How alike the whole spaces of outputs and of answers are (1: the same, but for a turn).",
    "rank_correlation": "Whether all answers come in the order in which the right answer has them (1 is perfect).",
    "overlap@10": "Share of the right answer's ten nearest answers that are the output's as well (1 is perfect).",
    "question_cosine": "How alike output and question are. Best near the answers' own value.",
    "question_gap": "The same less what any output has in common with any question. Best near the answers' own value.",
}


def render(facts: Facts, figures: Mapping[str, Drawing]) -> str:
    """The whole page. Texts of the data are escaped; the figures' SVG, in which there are none, is not."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("core_engine.report", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "signed": lambda value: _number(value, "+.3f")}
    return environment.get_template("page.html").render(
        facts=facts,
        result=facts.result,
        figures={name: (figure, Markup(figure.svg)) for name, figure in figures.items()},  # noqa: S704 - our own
        metrics=list(dict.fromkeys(name for row in facts.table.values() for name in row if name in MEANINGS)),
        meanings=MEANINGS,
        of_space=OF_SPACE,
        labels=LABELS,
        colours=COLOURS,
        warnings=lattice_warnings(facts),
    )


def lattice_warnings(facts: Facts) -> list[str]:
    """What is wrong with the way of the signal through the lattice."""
    signal = facts.signal
    reach = signal.reach[-1]
    past = "All that it makes of the input goes through the shortcut." if facts.has_shortcut else ""
    found = []
    if reach.share_of_inputs == 0:
        what = "The lattice's output" if facts.has_shortcut else "The output"
        found.append(f"{what} cannot depend on the input: no input cell can reach an output cell. {past}".strip())
    elif reach.share_of_inputs < 1:
        found.append(
            f"{1 - reach.share_of_inputs:.0%} of the input cells can reach no output cell: their values are lost. "
            f"Raise lattice.steps."
        )
    if signal.output_is_constant:
        found.append("The output does not depend on the input: it is the same for all rows studied.")
    if float(signal.dead[-1]) == 1:
        found.append(f"All cells are dead after the last step: no state depends on the input. {past}".strip())
    if facts.result["parameters_without_gradient"]:
        found.append(f"No gradient reached these parameters: {', '.join(facts.result['parameters_without_gradient'])}.")
    return found


def _number(value: float | None, form: str = ".3f") -> str:
    """A figure, with a true minus sign; a dash where there is none."""
    return "\N{EN DASH}" if value is None or value != value else format(value, form).replace("-", "\N{MINUS SIGN}")
