"""What a section of the report is made of, and how its figures are written."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from components.evaluation.tables import share

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]


class Table(NamedTuple):
    """A table ready to print.

    Attributes:
        caption: what it shows.
        head: names of the columns.
        rows: cells as text; the first of a row names it.
        ours: names of the rows to stand out.
        floors: names of the rows to stand back.
    """

    caption: str
    head: list[str]
    rows: list[list[str]]
    ours: Sequence[str] = ()
    floors: Sequence[str] = ()


class Figure(NamedTuple):
    """A plot.

    Attributes:
        draw: gives it as SVG; a terminal has no use for it.
        caption: what it shows.
    """

    draw: Callable[[], str]
    caption: str


class Section(NamedTuple):
    """One use.

    Attributes:
        title: its heading.
        text: one paragraph on what was measured and how.
        tables: in order.
        figures: in order.
        uses: names of the report's tables that it shows.
    """

    title: str
    text: str
    tables: list[Table]
    figures: list[Figure]
    uses: Sequence[str]


def interval(row: Row, name: str, low: str | None = None, high: str | None = None) -> str:
    """Write a figure and its interval: .612 [.604, .620]."""
    if row.get(name) is None:
        return ""
    bounds = [row[low or f"{name}_low"], row[high or f"{name}_high"]]
    return f"{share(row[name])} [{', '.join(map(share, bounds))}]"


def percent(value: float | None) -> str:
    """Write a difference in percent, with its sign."""
    return "" if value is None else f"{value:+.2f}%".replace("-", "−")
