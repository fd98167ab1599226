"""A matplotlib figure as a PNG file, and as SVG that is part of a page and takes its colours from it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours by role, as they stand on white. On the page each is the CSS variable of its name, which a dark page sets to
#: another value. The series differ in lightness too, for those who see no difference in hue.
COLOURS: Final = {
    "ink": "#1d2129",
    "muted": "#5b6473",
    "grid": "#d5d9e0",
    "first": "#1f5fa8",
    "second": "#c2570d",
    "third": "#2f7d33",
    "fourth": "#7b3fa1",
}
#: How series differ, besides.
SERIES = ("first", "second", "third", "fourth")
LINES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
    "text.parse_math": False,
    # Text stays text: it can be read aloud, found and copied. Ids do not change from one drawing to the next.
    "svg.fonttype": "none",
    "svg.hashsalt": "core-engine",
}


@frozen
class Drawing:
    """``name``: of the PNG file, and what the ids in ``svg`` begin with. ``caption``: what is to be seen, in words."""

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


def drawn(
    name: str, title: str, caption: str, draw: Callable[[Figure], None], size: tuple[float, float] = (4.6, 2.9)
) -> Drawing:
    """``draw`` fills an empty figure of ``size``, in inches: small, so that its text can be read on a phone."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
        figure.savefig(png, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return Drawing(name, title, caption, _inline(svg.getvalue().decode(), name), png.getvalue())


def _inline(svg: str, name: str) -> str:
    """The ``svg`` element alone, scaled by the page, with ids of its own and the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"| width="[^"]*pt"| height="[^"]*pt"| version="[^"]*"', "", svg)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    for role, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{role})")
    opening = f'<svg role="img" aria-labelledby="{name}-caption"'
    return svg.replace("<svg", opening, 1).strip()


def legend(axes: Any) -> None:
    """Where it hides least."""
    axes.legend(loc="best", fontsize=8, handlelength=1.6)


def look(number: int, *, marker: bool = True) -> dict[str, Any]:
    """Of a curve, by its number from 0 to 3."""
    style = {"color": COLOURS[SERIES[number]], "linestyle": LINES[number]}
    return {**style, "marker": _MARKERS[number]} if marker else style
