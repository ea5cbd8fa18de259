"""Pairs of a member and a posting, with every count that their features are made of."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.features.arrays import Arrays
from components.features.counting import COUNTS, SPACES, Runs
from components.features.kernels import gather_runs, overlaps, past_overlaps
from components.features.queries import Queries
from components.features.rates import Counts, Rates, base_rates
from components.features.terms import TermSets

Rows = NDArray[np.int64]


class Pairs(NamedTuple):
    """Pairs, n of them; -1 is an unknown row or code.

    Attributes:
        member, posting: rows of the tables.
        query: rows of `queries`.
        ts: microseconds UTC.
        codes: of every space, int64[n].
        counted: whether the member's own rows are within the totals.
        own: the member's counts, by space.
        last: int64[n] microseconds of the member's last action, by space; 0 for none.
        others: counts over all training members but this one, by space.
        searches: float64[n], for exactly the query by those members.
        queries: the distinct queries.
    """

    member: Rows
    posting: Rows
    query: Rows
    ts: Rows
    codes: dict[str, Rows]
    counted: NDArray[np.bool_]
    own: dict[str, Counts]
    last: dict[str, Rows]
    others: dict[str, Counts]
    searches: NDArray[np.float64]
    queries: Queries


class Counted:
    """What the tables hold, arranged for pairs.

    Attributes:
        arrays: of the tables.
        base: rates over everything that was shown.
        smoothing: times shown at which a rate of its own weighs as much as the rate above it.
    """

    def __init__(self, arrays: Arrays, smoothing: float):
        self.arrays, self.smoothing = arrays, smoothing
        self.base: Rates = base_rates(np.asarray(arrays["shown_in_all"]))
        self._own = {space: arrays.runs(f"own.{space}") for space in SPACES}
        self._own_searches = arrays.runs("own.searches")
        self._totals = {space: arrays[f"all.{space}"] for space in SPACES}
        self._codes = {
            space: arrays[f"posting.{space}"]
            for space in ("title", "company", "industry", "place", "level")
        }
        self._counted = arrays["member.counted"]
        self._pair_offsets, self._pair_titles = arrays["pair.offsets"], arrays["pair.titles"]
        self._no_values = np.zeros((len(self._pair_titles), 0), np.float32)

    def join(self, member: Rows, posting: Rows, query: Rows, ts: Rows, queries: Queries) -> Pairs:
        """Gather the counts of pairs."""
        codes = {"posting": posting}
        for space, of_posting in self._codes.items():
            codes[space] = _taken(of_posting, posting)
        codes["core"] = _taken(queries.core, query)
        _, codes["pair"] = gather_runs(
            self._pair_offsets, self._pair_titles, self._no_values, codes["core"], codes["title"]
        )
        counted = taken_rows(self._counted, member)
        own, last, others = {}, {}, {}
        for space in SPACES:
            own[space], last[space] = _own(self._own[space], member, codes[space])
            total = Counts.of_rows(taken_rows(self._totals[space], codes[space]))
            others[space] = total.less(own[space], counted)
        searches = self._searches(member, query, counted, queries)
        return Pairs(
            member, posting, query, ts, codes, counted, own, last, others, searches, queries
        )

    def _searches(
        self, member: Rows, query: Rows, counted: NDArray[np.bool_], queries: Queries
    ) -> NDArray[np.float64]:
        exact = np.where(query >= 0, taken_rows(queries.exact, query), -1)
        runs = self._own_searches
        own, _ = gather_runs(runs.offsets, runs.codes, runs.values, member, exact)
        return np.maximum(taken_rows(queries.searches, query) - own[:, 0] * counted, 0)


def taken_rows(values: NDArray, rows: Rows) -> NDArray:
    """Return values[rows], zeros for rows below 0."""
    if not len(values):
        return np.zeros((len(rows), *values.shape[1:]), values.dtype)
    found = values[np.maximum(rows, 0)]
    found[rows < 0] = 0
    return found


def compare(a: TermSets, a_rows: Rows, b: TermSets, b_rows: Rows) -> NDArray[np.float32]:
    """Compare sets of terms per pair: float32[4, n], see `kernels.overlaps`."""
    return np.ascontiguousarray(overlaps(a, a_rows, b, b_rows).T)


def compare_past(
    past: tuple[NDArray, NDArray], members: Rows, a: TermSets, b: TermSets, b_rows: Rows
) -> NDArray[np.float32]:
    """Compare texts with those of members' pasts: float32[2, n], see `kernels.past_overlaps`."""
    return np.ascontiguousarray(past_overlaps(*past, members, a, b, b_rows).T)


def _taken(codes: NDArray, rows: Rows) -> Rows:
    """Codes of rows; code 0, unknown, becomes -1."""
    found = taken_rows(codes, rows).astype(np.int64)
    return np.where(found > 0, found, -1)


def _own(runs: Runs, member: Rows, codes: Rows) -> tuple[Counts, Rows]:
    values, places = gather_runs(runs.offsets, runs.codes, runs.values, member, codes)
    return Counts.of_rows(values.reshape(len(member), len(COUNTS))), taken_rows(runs.last, places)
