"""What the sessions look like: the paper's Table 1 and Figure 3, ours beside the published."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from components.activity import plots
from components.activity.config import Vertical
from components.activity.engine import open_engine
from components.activity.schema import SESSION_SCHEMA
from components.activity.sessions import check_columns, session_parts
from components.files import whole_directory

REPORT = "report.json"
SHORT, LONG = 2, 10
SLICES = ("0_0_0", "0_1_0", "1_0_0", "1_1_0", "1_1_1")
"""Whether a session has a search, an application, and an application after a search."""


class Kind(NamedTuple):
    """What sessions are counted by."""

    length: int
    slice: str


class Activity(NamedTuple):
    """What members are counted by."""

    sessions: int
    searched: bool


def session_report(
    sessions: Path, target: Path, vertical: Vertical, *, published_comparison: bool
) -> list[dict[str, Any]]:
    """Describe the sessions in figures and plots.

    Writes `report.json`, {"rows": [...], "figures": [{"path", "caption"}]} with paths relative to
    `target`, and the plots as SVG: sessions by length and by the paper's slices (Figure 3), and
    members by their number of sessions. A slice such as `1_1_0` says whether a session has a
    search, an application, and an application after a search; an application is any action on a
    posting that makes a label.

    Args:
        sessions: what `write_sessions` wrote.
        target: directory to create or replace.
        vertical: which actions are searches and which applications.
        published_comparison: whether to put the paper's figures beside ours; they are those of a
            job marketplace.

    Returns:
        The rows, each with `statistic`, `value` and, if wanted, `paper`.

    Raises:
        ActivityError: a part of the sessions is missing, broken, or lacks a column.

    Source: paper, sections 3.1, 3.2 and 5, Table 1 and Figure 3.
    """
    parts = session_parts(sessions)
    for part in parts:
        check_columns(part, SESSION_SCHEMA)
    kinds, members = _count_sessions(parts, vertical)
    rows = _rows(kinds, members, *_count_words(parts))
    if not published_comparison:
        rows = [{"statistic": row["statistic"], "value": row["value"]} for row in rows]
    with whole_directory(target) as aside:
        figures = []
        if kinds:
            plots.sessions_by_length(aside / "sessions.svg", kinds)
            plots.members_by_sessions(aside / "members.svg", members)
            figures = [
                {"path": "sessions.svg", "caption": _caption(vertical)},
                {"path": "members.svg", "caption": "Members by the number of their sessions."},
            ]
        report = {"rows": rows, "figures": figures}
        (aside / REPORT).write_text(json.dumps(report, indent=1) + "\n")
    return rows


def _rows(
    kinds: Counter[Kind], members: Counter[Activity], words: int, distinct_words: int
) -> list[dict[str, Any]]:
    sessions = kinds.total()
    actions = sum(kind.length * count for kind, count in kinds.items())
    slices: Counter[str] = Counter()
    for kind, count in kinds.items():
        slices[kind.slice] += count
    long = _only(kinds, lambda kind: kind.length > LONG)
    long_with_search = _only(long, _has_search)
    short_with_search = _only(kinds, lambda kind: kind.length <= SHORT and _has_search(kind))
    table: list[tuple[str, float | None, float | str | None]] = [
        ("members", members.total(), 85e6),
        ("sessions", sessions, 1.4e9),
        ("actions", actions, None),
        ("sessions per member", _ratio(sessions, members.total()), 16.47),
        ("sessions per member, median", _median(members), None),
        ("actions per session", _ratio(actions, sessions), None),
        ("word tokens", words, 70e9),
        ("word tokens per session", _ratio(words, sessions), 50.0),
        ("distinct word tokens", distinct_words, 4e6),
        ("members who never searched", _share(members, lambda one: not one.searched), 0.16),
        (f"sessions of at most {SHORT} actions", _share(kinds, lambda k: k.length <= SHORT), None),
        *((f"sessions {name}", _ratio(slices[name], sessions), None) for name in SLICES),
        (f"sessions over {LONG} actions: have a search", _share(long, _has_search), "> 0.5"),
        (
            f"sessions over {LONG} actions with a search: apply after it",
            _share(long_with_search, _applies_after_search),
            "0.4 to 0.5",
        ),
        (
            f"sessions up to {SHORT} actions with a search: apply after it",
            _share(short_with_search, _applies_after_search),
            "less than half of that",
        ),
    ]
    return [
        {"statistic": name, "value": value, "paper": published} for name, value, published in table
    ]


def _count_sessions(
    parts: list[Path], vertical: Vertical
) -> tuple[Counter[Kind], Counter[Activity]]:
    """Count part by part: a member is whole in one, so that no more than a part is in memory."""
    kinds: Counter[Kind] = Counter()
    members: Counter[Activity] = Counter()
    engine = open_engine()
    searches, applications = _searches(vertical), _applications(vertical)
    for part in parts:
        # A part is sorted, so the number of its row tells what came first in a session.
        engine.execute(
            """
            CREATE OR REPLACE TEMP TABLE visits AS
            SELECT member_id, session, count(*) AS length,
                min(file_row_number) FILTER (list_contains($searches, action)) AS first_search,
                max(file_row_number) FILTER (list_contains($applications, action)) AS last_apply
            FROM read_parquet($part, file_row_number = true)
            GROUP BY member_id, session
            """,
            {"part": str(part), "searches": searches, "applications": applications},
        )
        by_kind = """
            SELECT length, first_search IS NOT NULL AS search, last_apply IS NOT NULL AS apply,
                coalesce(last_apply > first_search, false) AS after, count(*)
            FROM visits GROUP BY ALL
        """
        for length, search, apply, after, count in engine.execute(by_kind).fetchall():
            kinds[Kind(length, f"{search:d}_{apply:d}_{after:d}")] += count
        by_activity = """
            SELECT sessions, searched, count(*) FROM (
                SELECT count(*) AS sessions, count(first_search) > 0 AS searched
                FROM visits GROUP BY member_id
            ) GROUP BY ALL
        """
        for sessions, searched, count in engine.execute(by_activity).fetchall():
            members[Activity(sessions, searched)] += count
    return kinds, members


def _count_words(parts: list[Path]) -> tuple[int, int]:
    """Words of all rendered actions, and how many differ; a company is one word (Figure 2)."""
    counted = open_engine().execute(
        r"""
        WITH actions AS (SELECT * FROM read_parquet($parts)),
        words AS (
            SELECT action AS word, count(*) AS n FROM actions GROUP BY action
            UNION ALL
            SELECT 'c_' || lower(company), count(*) FROM actions
            WHERE company IS NOT NULL GROUP BY company
            UNION ALL
            SELECT unnest(regexp_split_to_array(trim(lower(text)), '\s+')), n FROM (
                SELECT text, count(*) AS n FROM (
                    SELECT unnest([query, title]) AS text FROM actions
                ) WHERE text IS NOT NULL GROUP BY text
            )
        )
        SELECT coalesce(sum(n), 0)::BIGINT, count(DISTINCT word) FROM words WHERE word <> ''
        """,
        {"parts": list(map(str, parts))},
    )
    return counted.fetchall()[0]


def _searches(vertical: Vertical) -> list[str]:
    return [name for name, kind in vertical.actions.items() if kind == "query"]


def _applications(vertical: Vertical) -> list[str]:
    return [name for name in vertical.label_actions if vertical.actions[name] == "posting"]


def _has_search(kind: Kind) -> bool:
    return kind.slice.startswith("1")


def _applies_after_search(kind: Kind) -> bool:
    return kind.slice == "1_1_1"


def _only(counts: Counter, chosen: Callable[[Any], bool]) -> Counter:
    return Counter({key: count for key, count in counts.items() if chosen(key)})


def _share(counts: Counter, chosen: Callable[[Any], bool]) -> float | None:
    return _ratio(_only(counts, chosen).total(), counts.total())


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _median(members: Counter[Activity]) -> int | None:
    passed = 0
    for one, count in sorted(members.items()):
        passed += count
        if 2 * passed >= members.total():
            return one.sessions
    return None


def _caption(vertical: Vertical) -> str:
    searches = ", ".join(_searches(vertical)) or "none in this vertical"
    applications = ", ".join(_applications(vertical)) or "none in this vertical"
    return (
        "Sessions by their number of actions: how many there are, and the share of those with a "
        f"search ({searches}), an application ({applications}), and one after a search."
    )
