"""Counts of behaviour by posting, company, title and so on: of all members, and of each."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.features.behaviour import MICRO

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COUNTS = (
    "shown",
    "opened",
    "saved",
    "dismissed",
    "applied",
    "expected_opened",
    "expected_applied",
    "did_open",
    "did_save",
    "did_dismiss",
    "did_apply",
    "answered",
    "wanted",
    "hired",
)
"""Columns of counts: of postings shown; of actions wherever they happened; of recruiters' answers,
those that ask for an interview or confirm a hire among them, and confirmed hires."""

SPACES = ("posting", "title", "company", "industry", "place", "level", "core", "pair")
"""What is counted by; `core` is the core of a query, `pair` such a core with a title."""

ACT_KINDS = ("search", "open", "save", "dismiss", "apply", "other")
CHANNELS = ("search", "recommendation", "alert", "notification", "navigation")
HISTORY_KINDS = ("open", "save", "dismiss", "apply")


class Runs(NamedTuple):
    """Values by code, a run of ascending codes per row.

    Attributes:
        offsets: int64[rows + 1].
        codes: int64.
        values: float32[len(codes), w].
        last: int64[len(codes)], microseconds UTC of the latest action, 0 for none.
    """

    offsets: NDArray[np.int64]
    codes: NDArray[np.int64]
    values: NDArray[np.float32]
    last: NDArray[np.int64]


def totals(engine: "DuckDBPyConnection", space: str, size: int) -> NDArray[np.float64]:
    """Count over training members: float64[size, counts]."""
    table = engine.query(
        f"SELECT {space} AS code, {_sums()} FROM event "
        f"WHERE counted AND {_given(space)} GROUP BY code ORDER BY code"
    ).to_arrow_table()
    counts = np.zeros((size, len(COUNTS)))
    counts[_integers(table, "code")] = _counts(table)
    return counts


def own_runs(engine: "DuckDBPyConnection", space: str, members: int) -> Runs:
    """Count each member's rows by code."""
    table = engine.query(
        f"SELECT member, {space} AS code, {_sums()}, max(acted) AS last FROM event "
        f"WHERE {_given(space)} GROUP BY member, code ORDER BY member, code"
    ).to_arrow_table()
    return Runs(
        _offsets(table, members),
        _integers(table, "code"),
        _counts(table).astype(np.float32),
        _integers(table, "last"),
    )


def own_searches(engine: "DuckDBPyConnection", members: int) -> Runs:
    """Count each member's searches for each exact query of training members."""
    table = engine.query(
        """SELECT member, exact, count(*) AS searches, max(ts) AS last
        FROM act JOIN query_code USING (query) WHERE kind = 'search' AND exact IS NOT NULL
        GROUP BY member, exact ORDER BY member, exact"""
    ).to_arrow_table()
    searches = _integers(table, "searches").astype(np.float32)[:, None]
    codes, last = _integers(table, "exact"), _integers(table, "last")
    return Runs(_offsets(table, members), codes, searches, last)


def title_terms(
    engine: "DuckDBPyConnection", terms: pa.Table, members: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return each member's terms of titles: offsets, terms, and counts float32[n, 3].

    The counts are times done (opened, saved or applied for), shown, and opened when shown.

    Args:
        engine: that has `event`.
        terms: columns title and term.
        members: how many there are.
    """
    engine.register("title_term", terms)
    table = engine.query(
        """SELECT member, term, sum(did_open + did_save + did_apply) AS done, sum(shown) AS shown,
            sum(opened) AS opened
        FROM event JOIN title_term USING (title) GROUP BY member, term ORDER BY member, term"""
    ).to_arrow_table()
    values = [_integers(table, name) for name in ("done", "shown", "opened")]
    return _offsets(table, members), _integers(table, "term"), np.stack(values, 1).astype("f4")


def pair_runs(engine: "DuckDBPyConnection", cores: int) -> tuple[NDArray, NDArray]:
    """Return the offsets by core, and titles, of the pairs in order of their number."""
    table = engine.query("SELECT core, title FROM core_title ORDER BY pair").to_arrow_table()
    return _offsets(table, cores, "core"), _integers(table, "title")


def past_texts(
    engine: "DuckDBPyConnection", kind: str, most: int, members: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return offsets by member and codes of the latest distinct titles acted on by `kind`.

    Args:
        engine: that has `act`, `posting_code` and `query_code`.
        kind: one of HISTORY_KINDS, or "search", whose texts are cores of queries.
        most: texts kept per member.
        members: how many there are.
    """
    text, source = (
        ("query_code.core", "query_code USING (query)")
        if kind == "search"
        else ("nullif(title, 0)", "posting_code USING (item_id)")
    )
    table = engine.query(
        f"""SELECT member, text FROM (
            SELECT member, {text} AS text, max(ts) AS last
            FROM act JOIN {source} WHERE kind = '{kind}' GROUP BY ALL
        ) WHERE text IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY member ORDER BY last DESC, text) <= {most}
        ORDER BY member, text"""
    ).to_arrow_table()
    return _offsets(table, members), _integers(table, "text").astype(np.int32)


class MemberTotals(NamedTuple):
    """What each member did and was shown in all.

    Attributes:
        acts: float32[m, ACT_KINDS].
        channels: float32[m, CHANNELS], actions.
        sessions, active_days: float32[m].
        titles, companies: float32[m], distinct ones acted on.
        level: float32[m], mean level of what was acted on where the title says one, 0 for none.
        counts: float32[m, COUNTS].
        first: int64[m], microseconds UTC of the first action, 0 for none.
        latest: int64[m, 1 + ACT_KINDS], of the last action, and of the last of each kind.
        counted: bool[m], whether the member's rows are in the totals over members.
    """

    acts: NDArray[np.float32]
    channels: NDArray[np.float32]
    sessions: NDArray[np.float32]
    active_days: NDArray[np.float32]
    titles: NDArray[np.float32]
    companies: NDArray[np.float32]
    level: NDArray[np.float32]
    counts: NDArray[np.float32]
    first: NDArray[np.int64]
    latest: NDArray[np.int64]
    counted: NDArray[np.bool_]


def member_totals(engine: "DuckDBPyConnection") -> MemberTotals:
    """Count what each member did, in order of the members."""
    kinds = ", ".join(
        f"count(*) FILTER (kind = '{kind}') AS acts_{kind}, "
        f"max(ts) FILTER (kind = '{kind}') AS latest_{kind}"
        for kind in ACT_KINDS
    )
    channels = ", ".join(
        f"count(*) FILTER (channel = '{channel}') AS channel_{channel}" for channel in CHANNELS
    )
    table = engine.query(
        f"""WITH acts AS (
            SELECT member, {kinds}, {channels}, count(DISTINCT session) AS sessions,
                count(DISTINCT ts // 86400000000) AS days, min(ts) AS first, max(ts) AS latest
            FROM act GROUP BY member
        ), shown AS (
            SELECT member, {_sums()}, count(DISTINCT title) FILTER (acted > 0) AS titles,
                count(DISTINCT company) FILTER (acted > 0) AS companies,
                sum(level) FILTER (acted > 0) AS levels,
                count(*) FILTER (acted > 0 AND level > 0) AS with_level
            FROM event GROUP BY member
        )
        SELECT * FROM member LEFT JOIN acts USING (member) LEFT JOIN shown USING (member)
        ORDER BY member"""
    ).to_arrow_table()

    def columns(prefix: str, names: tuple[str, ...]) -> NDArray[np.int64]:
        return np.stack([_integers(table, f"{prefix}{name}") for name in names], 1)

    latest = np.column_stack([_integers(table, "latest"), columns("latest_", ACT_KINDS)])
    with_level = np.maximum(_integers(table, "with_level"), 1)
    return MemberTotals(
        acts=columns("acts_", ACT_KINDS).astype(np.float32),
        channels=columns("channel_", CHANNELS).astype(np.float32),
        sessions=_integers(table, "sessions").astype(np.float32),
        active_days=_integers(table, "days").astype(np.float32),
        titles=_integers(table, "titles").astype(np.float32),
        companies=_integers(table, "companies").astype(np.float32),
        level=(_integers(table, "levels") / with_level).astype(np.float32),
        counts=_counts(table).astype(np.float32),
        first=_integers(table, "first"),
        latest=latest,
        counted=table["counted"].to_numpy(),
    )


def _sums() -> str:
    return ", ".join(f"sum({name})::BIGINT AS {name}" for name in COUNTS)


def _given(space: str) -> str:
    """Codes of texts begin at 1, 0 is unknown; postings and pairs are numbered from 0."""
    return f"{space} >= 0" if space in ("posting", "pair") else f"{space} > 0"


def _counts(table: pa.Table) -> NDArray[np.float64]:
    counts = np.stack([_integers(table, name) for name in COUNTS], 1).astype(np.float64)
    counts[:, [COUNTS.index("expected_opened"), COUNTS.index("expected_applied")]] /= MICRO
    return counts


def _integers(table: pa.Table, name: str) -> NDArray[np.int64]:
    return table[name].cast(pa.int64()).fill_null(0).to_numpy()


def _offsets(table: pa.Table, rows: int, name: str = "member") -> NDArray[np.int64]:
    return np.searchsorted(_integers(table, name), np.arange(rows + 1))
