"""Counts of pairs as columns, and the rates, lifts and recencies made of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.features.counting import COUNTS
from components.features.specification import NEVER

Column = NDArray[np.floating]

DAY = 86_400_000_000


class Counts:
    """Columns of counts by their name; arrays lie in one piece, so that one pair and many agree."""

    def __init__(self, columns: NDArray[np.float64]):
        self._columns = columns

    @classmethod
    def of_rows(cls, rows: NDArray) -> "Counts":
        """Turn counts [n, COUNTS] into columns."""
        return cls(np.ascontiguousarray(rows.T, np.float64))

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self._columns[COUNTS.index(name)]

    def less(self, other: "Counts", counted: NDArray[np.bool_]) -> "Counts":
        """Take the counts of `other` out where they were counted."""
        return Counts(np.maximum(self._columns - other._columns * counted, 0))


class Rates(NamedTuple):
    """Smoothed shares of what was shown, of openings that led to an application, and so on.

    Attributes:
        opened, saved, dismissed, applied: of what was shown.
        applied_of_opened: of openings.
        hired: of applications.
        wanted: of recruiters' answers.
    """

    opened: Column
    saved: Column
    dismissed: Column
    applied: Column
    applied_of_opened: Column
    hired: Column
    wanted: Column


def smooth(counts: Counts, above: Rates, strength: float) -> Rates:
    """Return rates that begin at those `above` and weigh as much after `strength` shown."""

    def rate(name: str, of: str, usual: Column, times: Column | float = strength) -> Column:
        return (counts[name] + times * usual) / (counts[of] + times)

    return Rates(
        rate("opened", "shown", above.opened),
        rate("saved", "shown", above.saved),
        rate("dismissed", "shown", above.dismissed),
        rate("applied", "shown", above.applied),
        # Openings are rarer than what is shown: so many are as good as `strength` times shown.
        rate("applied", "opened", above.applied_of_opened, strength * above.opened),
        rate("hired", "did_apply", above.hired),
        rate("wanted", "answered", above.wanted),
    )


def base_rates(total: NDArray[np.float64]) -> Rates:
    """Return the rates of all that was shown, from its counts [COUNTS]; never quite 0."""
    counts = Counts(total + 0.5)
    shown = counts["shown"] + 0.5
    return Rates(
        counts["opened"] / shown,
        counts["saved"] / shown,
        counts["dismissed"] / shown,
        counts["applied"] / shown,
        np.minimum(counts["applied"] / counts["opened"], 1),
        np.minimum(counts["hired"] / (counts["did_apply"] + 0.5), 1),
        counts["wanted"] / (counts["answered"] + 0.5),
    )


def lift(counts: Counts, name: str) -> Column:
    """Return the log of how often something happened over how often it usually does."""
    return np.log((counts[name] + 1) / (counts[f"expected_{name}"] + 1))


def log_days_since(ts: NDArray[np.int64], last: NDArray[np.int64]) -> Column:
    """Return log(1 + days) since `last`, microseconds UTC; NEVER days where it is 0."""
    days = np.clip((ts - last) / DAY, 0, NEVER)
    return np.log1p(np.where(last > 0, days, NEVER))


def share(part: Column, whole: Column) -> Column:
    """Return part / whole, 0 where there is nothing."""
    return part / np.maximum(whole, 1)
