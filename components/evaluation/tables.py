"""Tables as the paper prints them: their columns, the figures in bold, how numbers are written."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluation.evaluate import GRADES, METHODS

FLOORS = METHODS[:3]
COLUMNS = {
    "p@1": "P@1",
    "p@3": "P@3",
    "p@5": "P@5",
    "ss@1": "SS@1",
    "ss@3": "SS@3",
    "ss@5": "SS@5",
    "coverage": "SC",
    "repeats@1": "Rep@1",
    "repeats": "Rep.",
    "psp@1": "PSP@1",
    "psp@3": "PSP@3",
    "psp@5": "PSP@5",
}
UNRANKED = ("repeats@1", "repeats")

Row = Mapping[str, Any]


def datasets_of(rows: Sequence[Row]) -> list[str]:
    """List the data sets in the order in which they first appear."""
    return list(dict.fromkeys(row["dataset"] for row in rows))


def is_best(row: Row, rows: Sequence[Row], column: str) -> bool:
    """Tell whether a figure is the best of the trained models, or a floor's that is no worse.

    Args:
        row: whose figure it is.
        rows: of one data set.
        column: key of the figure; larger is better.
    """
    if column in UNRANKED or not row.get(column):
        return False
    trained = [other[column] for other in rows if other["method"] not in FLOORS]
    compared = trained or [other[column] for other in rows]
    return row[column] >= max(compared)


def graded(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with grades: of members who never searched, if there are any (Table 5)."""
    with_grades = [row for row in rows if all(grade in row for grade in GRADES)]
    never_searched = [row for row in with_grades if row["dataset"] == "D3"]
    return never_searched or [row for row in with_grades if row["dataset"] == "D1-new"]


def share(value: float | None) -> str:
    """Write a share as the paper does: .696, −.05 with a true minus, 1 in full, nothing of none."""
    if value is None:
        return ""
    text = f"{abs(value):.3f}"
    text = text.removeprefix("0") if abs(value) < 1 else text
    return f"−{text}" if round(value, 3) < 0 else text


def plain(value: Any) -> str:
    """Write a cell of a table whose columns are not known beforehand."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"
