"""Tell the rows that are actions from those that are not, and say why."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.activity.config import Vertical
from components.activity.engine import ask
from components.activity.readers import COLUMNS, Block
from components.activity.schema import ACTION_SCHEMA, QUARANTINE_SCHEMA

if TYPE_CHECKING:
    import duckdb

EARLIEST = 788_918_400_000_000
LATEST = 4_102_444_800_000_000
"""1995 to 2100: seconds, milliseconds and nanoseconds taken for microseconds all fall outside."""

LONGEST_TEXT = 2_000
"""Characters kept of a text.

A page pasted into the search box is still a search: to refuse it would change the member's sessions
and whether he ever searched. Its first 2,000 characters hold about as much as the encoder reads at
once, and kept whole, one such row would outweigh thousands of members in every later step.
"""

DUPLICATE = "duplicate"


class Verdict(NamedTuple):
    """What became of a block.

    Attributes:
        actions: admitted rows (ACTION_SCHEMA), in order.
        refused: the others (QUARANTINE_SCHEMA).
        shortened: admitted rows with a text that was cut.
    """

    actions: pa.Table
    refused: pa.Table
    shortened: int


class Judge:
    """Applies the rules of one vertical to blocks of rows."""

    def __init__(self, vertical: Vertical, engine: "duckdb.DuckDBPyConnection"):
        """Take an engine that keeps order."""
        self._engine = engine
        self._plain, self._judgement = _rules(vertical)

    def judge(self, rows: pa.Table, *, file: str, offset: int) -> Verdict:
        """Split `rows` into actions and refused rows.

        Args:
            rows: as in `readers.Block`.
            file: the name to put beside refused rows.
            offset: what to add to a row's number for its sequence number.
        """
        rows = self._timed(rows)
        # Most rows pass as they are; only the others are worth a closer look.
        plain = ask(self._engine, rows, self._plain)["plain"].to_numpy()
        if plain.all():
            return Verdict(_actions(rows, offset), QUARANTINE_SCHEMA.empty_table(), 0)
        judged = ask(self._engine, rows.filter(pa.array(~plain)), self._judgement)
        mended = judged.filter(pc.is_null(judged["reason"]))
        refused = judged.filter(pc.is_valid(judged["reason"]))
        actions = _actions(rows.filter(pa.array(plain)), offset)
        if len(mended):
            actions = pa.concat_tables([actions, _actions(mended, offset)]).sort_by("sequence")
        named = refused.append_column("file", pa.array([file] * len(refused), pa.string()))
        return Verdict(
            actions,
            named.select(QUARANTINE_SCHEMA.names).cast(QUARANTINE_SCHEMA),
            pc.sum(mended["shortened"], min_count=0).as_py(),
        )

    def judge_all(
        self, blocks: Iterable[Block], *, file: str, offset: int
    ) -> Iterator[tuple[Block, Verdict]]:
        """Yield each block of a file with its verdict."""
        for block in blocks:
            yield block, self.judge(block.rows, file=file, offset=offset)

    def _timed(self, rows: pa.Table) -> pa.Table:
        given = rows["ts"]
        if given.type != pa.int64():
            time = ask(self._engine, rows.select(["ts"]), READ_TIME)["ts"]
            rows = rows.set_column(rows.schema.get_field_index("ts"), "ts", time)
        return rows.append_column("given_ts", given)


READ_TIME = """
SELECT coalesce(TRY_CAST(ts AS BIGINT), epoch_us(TRY_CAST(ts AS TIMESTAMPTZ))) AS ts FROM block
"""

PLAIN = """
SELECT coalesce(
    problem IS NULL AND {present[member_id]} AND ts BETWEEN {earliest} AND {latest}
    AND channel IN ({channels})
    AND CASE WHEN action IN ({queries}) THEN {present[query]} AND company IS NULL AND title IS NULL
             WHEN action IN ({postings}) THEN {present[title]} AND query IS NULL
             AND (company IS NULL OR {present[company]}) END
    AND (item_id IS NULL OR {present[item_id]}), false) AS plain
FROM block
"""

JUDGEMENT = """
WITH given AS (
    SELECT row, problem, raw, given_ts, ts, channel, action, {values} FROM block
), judged AS (
    SELECT *, action IN ({queries}) AS asks, CASE
        WHEN problem IS NOT NULL THEN problem
        WHEN member_id IS NULL THEN 'missing member_id'
        WHEN given_ts IS NULL THEN 'missing ts'
        WHEN ts IS NULL THEN 'unreadable ts'
        WHEN ts NOT BETWEEN {earliest} AND {latest} THEN 'implausible ts'
        WHEN channel IS NULL OR channel = '' THEN 'missing channel'
        WHEN channel NOT IN ({channels}) THEN 'unknown channel'
        WHEN action IS NULL OR action = '' THEN 'missing action'
        WHEN action NOT IN ({queries}, {postings}) THEN 'unknown action'
        WHEN asks AND query IS NULL THEN 'missing query'
        WHEN NOT asks AND title IS NULL THEN 'missing title'
    END AS reason FROM given
)
SELECT row, reason, member_id, ts, channel, action,
       CASE WHEN asks THEN left(query, {longest}) END AS query,
       CASE WHEN NOT asks THEN left(company, {longest}) END AS company,
       CASE WHEN NOT asks THEN left(title, {longest}) END AS title,
       item_id,
       coalesce(CASE WHEN asks THEN length(query) > {longest}
                ELSE length(title) > {longest} OR length(company) > {longest} END, false)
           AS shortened,
       left(coalesce(rtrim(raw, '\r\n'), {as_json}), {longest}) AS raw
FROM judged
"""


def _rules(vertical: Vertical) -> tuple[str, str]:
    texts = ("member_id", "query", "company", "title", "item_id")
    kinds = vertical.actions.items()
    names = {
        "earliest": EARLIEST,
        "latest": LATEST,
        "longest": LONGEST_TEXT,
        "channels": _quoted(vertical.channels),
        "queries": _quoted(name for name, kind in kinds if kind == "query"),
        "postings": _quoted(name for name, kind in kinds if kind == "posting"),
        # Whatever begins with white space, or is empty, sorts before "!"; strlen counts bytes.
        "present": {
            name: f"({name} >= '!' AND strlen({name}) <= {LONGEST_TEXT})" for name in texts
        },
        "values": ", ".join(
            f"CASE WHEN trim({name}, ' \t\r\n') <> '' THEN {name} END AS {name}" for name in texts
        ),
        "as_json": as_json("given_ts"),
    }
    return PLAIN.format(**names), JUDGEMENT.format(**names)


def as_json(time: str) -> str:
    """Write the expression that turns an action's columns into JSON, with `time` in place of ts."""
    fields = ", ".join(f"'{name}', {time if name == 'ts' else name}" for name in COLUMNS)
    return f"CAST(json_object({fields}) AS VARCHAR)"


def _quoted(names: Iterable[str]) -> str:
    # Names are letters, digits and underscores: Vertical sees to it.
    return ", ".join(f"'{name}'" for name in names) or "''"


def _actions(rows: pa.Table, offset: int) -> pa.Table:
    sequence = pa.array(rows["row"].to_numpy().astype(np.int64) + offset)
    return rows.append_column("sequence", sequence).select(ACTION_SCHEMA.names).cast(ACTION_SCHEMA)
