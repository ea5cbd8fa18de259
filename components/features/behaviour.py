"""What members did and were shown before their cuts, as tables of an embedded engine.

The cut of a member is the start of the session at which his latest example's target begins. His own
rows count before it only. Rates over all members are counted on the rows of training members alone,
again before their cuts, so that no outcome which a model is trained or measured on is in a feature.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from components.activity.schema import SESSION_SCHEMA
from components.activity.sessions import check_columns, session_parts
from components.activity.split import TRAIN
from components.features.errors import FeaturesError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

IMPRESSIONS_SCHEMA = pa.schema(
    [
        pa.field("member_id", pa.string(), nullable=False),
        pa.field("ts", pa.int64(), nullable=False),
        pa.field("channel", pa.string(), nullable=False),
        pa.field("query", pa.string()),
        pa.field("item_ids", pa.list_(pa.string())),
        pa.field("outcomes", pa.list_(pa.string())),
    ]
)
"""One row per page shown: postings from the top, and what became of each, "" for nothing."""

NEVER_CUT = 2**62
KINDS = {
    "JOB_SEARCH": "search",
    "VIEW": "open",
    "SHORT_VIEW": "open",
    "LONG_VIEW": "open",
    "SAVE": "save",
    "DISMISS": "dismiss",
    "APPLY": "apply",
}
# An outcome is the strongest thing that happened: what was saved or applied for was opened.
OPENED = ("VIEW", "SHORT_VIEW", "LONG_VIEW", "SAVE", "APPLY")
MICRO = 1_000_000
_EXPECTED_POSITIONS = 50
_ANSWERS = {
    "member_id": pa.string(),
    "item_id": pa.string(),
    "response": pa.string(),
    "response_ts": pa.int64(),
}


def impression_files(feed: Path) -> list[Path]:
    """Return the files of the pages shown; none where a feed has none.

    Raises:
        FeaturesError: a file is damaged or lacks a column; names both.
    """
    files = sorted((feed / "impressions").glob("*.parquet"))
    for file in files:
        _check_columns(file, IMPRESSIONS_SCHEMA.names)
    return files


def _check_columns(file: Path, wanted: Sequence[str]) -> None:
    try:
        names = set(pq.read_schema(file).names)
    except (OSError, pa.ArrowException) as error:
        raise FeaturesError(f"{file}: missing or damaged: {error}") from error
    for name in wanted:
        if name not in names:
            raise FeaturesError(f"{file}: column {name} is missing")


def load_cuts(
    engine: "DuckDBPyConnection",
    sessions: Path,
    impressions: list[Path],
    profiles: pa.Table | None,
    examples: Path | None,
) -> None:
    """Make `member` (member, member_id, cut, last, counted), `act` and `page`, rows before cuts.

    Args:
        engine: an open engine.
        sessions: directory of session parts.
        impressions: files of the pages shown.
        profiles: whose members have rows too.
        examples: `examples.parquet`; without it nothing is cut and every member is counted.

    Raises:
        FeaturesError: `examples` is damaged or lacks a column; names both.
        ActivityError: a session part is; names both.
    """
    parts = session_parts(sessions)
    for part in parts:
        check_columns(part, SESSION_SCHEMA)
    engine.read_parquet([str(part) for part in parts]).create_view("session_row")
    engine.read_parquet([str(file) for file in impressions]).create_view("impression")
    ids = (
        profiles["member_id"].cast(pa.string()) if profiles is not None else pa.array([], "string")
    )
    engine.register("profile_id", pa.table({"member_id": ids}))
    if examples is None:
        engine.execute("CREATE TABLE example (member_id VARCHAR, split INT, context_end BIGINT)")
    else:
        _check_columns(examples, ("member_id", "split", "context_end"))
        engine.execute(
            """CREATE TABLE example AS
            SELECT member_id, any_value(split) AS split, max(context_end) AS context_end
            FROM read_parquet(?) GROUP BY member_id""",
            [str(examples)],
        )
    engine.execute(_MEMBERS.format(never=NEVER_CUT, train=TRAIN, all=examples is None))
    engine.register("kind_of", pa.table({"action": list(KINDS), "kind": list(KINDS.values())}))
    engine.execute(_ACTS)
    engine.execute(_PAGES)


def load_events(engine: "DuckDBPyConnection", answers: pa.Table | None) -> None:
    """Make `event`: a row per posting shown, acted on or answered for, and what happened.

    Expected counts are what a place of its channel and position gets on average, in millionths, so
    that a posting shown on top is not taken for a better one. They are integers because sums of
    integers do not depend on the order in which an engine adds them.

    Needs the tables `posting_code` and `query_code` beside those of `load_cuts`.

    Args:
        engine: that has them.
        answers: recruiters' responses (member_id, item_id, response, response_ts), if there are.
    """
    if answers is None:
        answers = pa.schema(_ANSWERS).empty_table()
    engine.register("answer", answers.select(list(_ANSWERS)).cast(pa.schema(_ANSWERS)))
    opened = ", ".join(f"'{outcome}'" for outcome in OPENED)
    engine.execute(_SHOWN.format(opened=opened, positions=_EXPECTED_POSITIONS))
    engine.execute(_PAIRS)
    engine.execute(_EVENTS.format(micro=MICRO))


_MEMBERS = """
CREATE TABLE member AS
WITH cuts AS (
    SELECT member_id, any_value(split) AS split, min(ts) FILTER (session > context_end) AS cut
    FROM session_row JOIN example USING (member_id) GROUP BY member_id
), ids AS (
    SELECT DISTINCT member_id FROM session_row
    UNION SELECT member_id FROM profile_id UNION SELECT DISTINCT member_id FROM impression
), dated AS (
    -- Who has no example where others have is measured as one of whom nothing is known.
    SELECT member_id, CASE WHEN split IS NULL AND NOT {all} THEN -{never}
        ELSE coalesce(cut, {never}) END AS cut, coalesce(split = {train}, {all}) AS counted
    FROM ids LEFT JOIN cuts USING (member_id) WHERE member_id IS NOT NULL
), latest AS (
    -- A page without an action of its own may open the session of the cut: pages count up to the
    -- last action before it.
    SELECT member_id, max(ts) AS last
    FROM session_row JOIN dated USING (member_id) WHERE ts < cut GROUP BY member_id
)
SELECT row_number() OVER (ORDER BY member_id) - 1 AS member, member_id, counted, cut,
    CASE WHEN cut = {never} THEN {never} ELSE coalesce(last, -{never}) END AS last
FROM dated LEFT JOIN latest USING (member_id)
"""

_ACTS = """
CREATE TABLE act AS
SELECT member, counted, ts, session, channel, coalesce(kind, 'other') AS kind, query, item_id
FROM session_row JOIN member USING (member_id) LEFT JOIN kind_of USING (action) WHERE ts < cut
"""

_PAGES = """
CREATE TABLE page AS
SELECT member, counted, ts, channel, query, item_ids, outcomes
FROM impression JOIN member USING (member_id) WHERE ts <= last
"""

_SHOWN = """
CREATE TABLE place AS
SELECT member, counted, channel, core, posting, title, position, outcome IN ({opened}) AS opened,
    outcome = 'SAVE' AS saved, outcome = 'DISMISS' AS dismissed, outcome = 'APPLY' AS applied
FROM (
    SELECT member, counted, channel, query, unnest(item_ids) AS item_id,
        coalesce(unnest(outcomes), '') AS outcome,
        least(generate_subscripts(item_ids, 1), {positions}) AS position
    FROM page
) JOIN posting_code USING (item_id) LEFT JOIN query_code USING (query)
"""

_PAIRS = """
CREATE TABLE core_title AS
SELECT core, title, row_number() OVER (ORDER BY core, title) - 1 AS pair
FROM (SELECT DISTINCT core, title FROM place WHERE counted AND core IS NOT NULL)
"""

_EVENTS = """
CREATE TABLE event AS
WITH usual AS (
    SELECT channel, position, round({micro} * avg(opened::INT))::BIGINT AS expected_opened,
        round({micro} * avg(applied::INT))::BIGINT AS expected_applied
    FROM place WHERE counted GROUP BY channel, position
), shown AS (
    SELECT member, counted, posting, core, pair, 1 AS shown, opened::INT AS opened,
        saved::INT AS saved, dismissed::INT AS dismissed, applied::INT AS applied,
        coalesce(expected_opened, 0) AS expected_opened,
        coalesce(expected_applied, 0) AS expected_applied,
        0 AS did_open, 0 AS did_save, 0 AS did_dismiss, 0 AS did_apply,
        0 AS answered, 0 AS wanted, 0 AS hired, NULL::BIGINT AS acted
    FROM place LEFT JOIN usual USING (channel, position) LEFT JOIN core_title USING (core, title)
), done AS (
    SELECT member, counted, posting, NULL AS core, NULL AS pair, 0, 0, 0, 0, 0, 0, 0,
        (kind = 'open')::INT, (kind = 'save')::INT, (kind = 'dismiss')::INT,
        (kind = 'apply')::INT, 0, 0, 0, ts
    FROM act JOIN posting_code USING (item_id)
), told AS (
    SELECT member, counted, posting, NULL AS core, NULL AS pair, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        1, (response IN ('interview', 'confirmed_hire'))::INT, (response = 'confirmed_hire')::INT,
        NULL
    FROM answer JOIN member USING (member_id) JOIN posting_code USING (item_id)
    WHERE response_ts < cut
), everything AS (
    SELECT * FROM shown UNION ALL SELECT * FROM done UNION ALL SELECT * FROM told
)
SELECT * FROM everything JOIN posting_code USING (posting)
"""
