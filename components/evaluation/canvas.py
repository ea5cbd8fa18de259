"""What every plot of a report shares: the page's font, and colours of the page's style sheet.

Colours are placeholders that become CSS variables, so a plot follows the page into dark mode.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INK, SOFT, RULE = "#010101", "#020202", "#030303"
SERIES = tuple(f"#0a0a{number:02x}" for number in range(13))

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": SOFT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": SOFT,
    "axes.labelsize": 9,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": SOFT,
    "xtick.labelsize": 8.5,
    "ytick.color": SOFT,
    "ytick.labelsize": 8.5,
    "ytick.left": False,
}


@contextmanager
def canvas(name: str, columns: int, *, rows: int = 1, height: float) -> Iterator[tuple[Any, Any]]:
    """Yield a figure and its axes [rows, columns] in the style of the page.

    Args:
        name: of the figure, which its random ids are made from.
        columns: of panels.
        rows: of panels.
        height: in inches; the width is that of the page.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(9.2, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=False)


def svg(figure: Any, name: str) -> str:
    """Render a figure as SVG to put into the page; `name` keeps its ids apart from others'."""
    out = io.StringIO()
    figure.savefig(out, format="svg", dpi=160, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    # Ids are unique within a figure only, and a page holds several.
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1)
    named = {INK: "--ink", SOFT: "--soft", RULE: "--rule"}
    for colour, variable in (
        named | {colour: f"--series-{n}" for n, colour in enumerate(SERIES)}
    ).items():
        text = text.replace(colour, f"var({variable})")
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)


def legend_below(figure: Any, axis: Any) -> None:
    """Put the legend of one panel below all of them."""
    handles, names = axis.get_legend_handles_labels()
    columns = len(names) if len(names) <= 7 else (len(names) + 1) // 2
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=columns,
        columnspacing=1.3,
        handlelength=1.6,
        handletextpad=0.5,
    )
