"""The MIND news data set as actions: what members read, and what they were shown.

Source: Wu et al., MIND: A Large-scale Dataset for News Recommendation (ACL 2020); paper,
Appendix A.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.activity.config import FilesConfig, MindConfig, Vertical
from components.activity.engine import open_engine
from components.activity.feed import Feed, IngestSummary, PartWriter, check_vertical, open_feed
from components.activity.locate import SourceFile, find_files
from components.activity.quarantine import LONGEST_TEXT
from components.activity.readers import BAD_TEXT, MALFORMED, read_lines
from components.activity.schema import ACTION_SCHEMA, QUARANTINE_SCHEMA, ActivityError
from components.progress import progress

if TYPE_CHECKING:
    import duckdb

ACTION = "VIEW"
READ, SHOWN = "navigation", "recommendation"
UNKNOWN_ITEM = "unknown item"
HOUR = 3_600_000_000
ROWS_PER_BLOCK = 1 << 17

FOLDS = {"train": ("train",), "dev": ("dev", "valid")}
"""The parts of the data set that have labels, and the plain names of their folders."""


class Impression(NamedTuple):
    """One page shown to a member: when, what he had read by then, and what he clicked on it."""

    ts: int
    history: Sequence[str]
    clicked: Sequence[str]


class Click(NamedTuple):
    """One item read, and the number of the impression that tells of it."""

    ts: int
    item: str
    channel: str
    impression: int


def ingest_mind(
    config: MindConfig, vertical: Vertical, target: Path, *, quarantine_limit: float
) -> IngestSummary:
    """Write the feed of the train and dev folders of MIND.

    Beside the actions the feed has what labels and ranking need later: `postings/` (item_id, title
    as in the actions, category, subcategory, entities) and `impressions/` (member_id, ts, channel,
    query, item_ids from the top, outcomes: VIEW or nothing, fold: train or dev).

    Args:
        config: where the user unpacked it.
        vertical: must have the action and channels of `config.NEWS`.
        target: directory to create or replace; left as it was when the ingest fails.
        quarantine_limit: share of rows and clicks set aside above which the data are refused.

    Raises:
        ActivityError: a file is missing, the vertical lacks an action or a channel, or too much is
            set aside.
    """
    check_vertical(vertical, config.kind, {ACTION: "posting"}, (READ, SHOWN))
    files = [(fold, *_files(config, fold)) for fold in FOLDS]
    engine = open_engine()
    engine.execute(TABLES)
    with (
        open_feed(target, quarantine_limit=quarantine_limit) as feed,
        progress("Reading news", total=sum(n.size + b.size for _, n, b in files)) as bar,
    ):
        for fold, news, behaviors in files:
            _load(engine, news, feed, reason=NEWS_REASON, insert=NEWS, values=(config.abstract,))
            bar.advance(news.size)
            _load(
                engine,
                behaviors,
                feed,
                reason=BEHAVIOR_REASON,
                insert=BEHAVIORS,
                values=(behaviors.name, fold),
            )
            bar.advance(behaviors.size)
        _write(engine, "FROM postings ORDER BY item_id", feed.folder / "postings")
        _write(engine, IMPRESSIONS, feed.folder / "impressions")
        _write_clicks(engine, feed)
        feed.end_actions()
        return feed.finish(nothing=f"{config.path}: no actions")


def trail(impressions: Sequence[Impression]) -> Iterator[Click]:
    """Put together what one member read, in the order in which he read it.

    Clicks on an impression have its time. An item of a history that the trail does not have yet was
    read at an unknown time before the impression: such items keep their order and are placed an
    hour apart, closer if the member's previous impression leaves less room. So each is a session of
    its own; nothing says which were read in one sitting.

    Args:
        impressions: of one member, in time order.
    """
    known: set[str] = set()
    before: int | None = None
    for number, (ts, history, clicked) in enumerate(impressions):
        new = [item for item in dict.fromkeys(history) if item not in known]
        known.update(new, clicked)
        step = HOUR if before is None else min(HOUR, (ts - before) // (len(new) + 1))
        for left, item in zip(range(len(new), 0, -1), new, strict=True):
            yield Click(ts - left * step, item, READ, number)
        for item in clicked:
            yield Click(ts, item, SHOWN, number)
        before = ts


def _files(config: MindConfig, fold: str) -> tuple[SourceFile, SourceFile]:
    names = (f"MIND{config.size}_{fold}", *FOLDS[fold])
    for name in names:
        folder = f"{config.path.rstrip('/')}/{name}"
        try:
            news, behaviors = (
                find_files(FilesConfig(path=f"{folder}/{file}.tsv", format="csv"))[0]
                for file in ("news", "behaviors")
            )
        except ActivityError:
            continue
        return news, behaviors
    raise ActivityError(
        f"{config.path}: MIND's {fold} part is missing; news.tsv and behaviors.tsv are expected in "
        + " or ".join(names)
    )


def _load(
    engine: "duckdb.DuckDBPyConnection",
    file: SourceFile,
    feed: Feed,
    *,
    reason: str,
    insert: str,
    values: tuple,
) -> None:
    """Append the rows of a file to their table, and what is no row of it to the quarantine."""
    for lines in read_lines(file):
        engine.register("block", pa.table({"row": lines.numbers, "line": lines.texts}))
        engine.execute(SPLIT.format(reason=reason))
        engine.execute(insert, values)
        unusable = engine.execute(REFUSED).fetchall()
        unusable += [(row, BAD_TEXT, text[:LONGEST_TEXT]) for row, text in lines.unreadable]
        feed.refuse(_quarantined([(file.name, *row) for row in unusable]))


def _write_clicks(engine: "duckdb.DuckDBPyConnection", feed: Feed) -> None:
    postings = engine.sql("SELECT item_id, title FROM postings").to_arrow_table()
    clicks, written = _clicks(engine), 0
    while block := list(islice(clicks, ROWS_PER_BLOCK)):
        members, times, items, channels, files, rows = zip(*block, strict=True)
        posting = pc.index_in(pa.array(items), postings["item_id"].combine_chunks())
        table = pa.table(
            {
                "member_id": members,
                "ts": pa.array(times, pa.int64()),
                "sequence": np.arange(written, written + len(block)),
                "channel": channels,
                "action": [ACTION] * len(block),
                "query": pa.nulls(len(block), pa.string()),
                "company": pa.nulls(len(block), pa.string()),
                "title": postings["title"].take(posting),
                "item_id": items,
            }
        )
        feed.admit(table.filter(posting.is_valid()).cast(ACTION_SCHEMA))
        feed.refuse(
            _quarantined(
                [
                    (files[i], rows[i], UNKNOWN_ITEM, items[i])
                    for i in np.flatnonzero(posting.is_null())
                ]
            )
        )
        written += len(block)


def _clicks(engine: "duckdb.DuckDBPyConnection") -> Iterator[tuple[str, int, str, str, str, int]]:
    for member, rows in groupby(_behaviors(engine), key=itemgetter(0)):
        places, impressions = [], []
        for _, ts, history, clicked, file, row in rows:
            places.append((file, row))
            impressions.append(Impression(ts, history.split(), clicked))
        for click in trail(impressions):
            yield member, click.ts, click.item, click.channel, *places[click.impression]


def _behaviors(engine: "duckdb.DuckDBPyConnection") -> Iterator[tuple]:
    for batch in engine.sql(IN_ORDER).to_arrow_reader(ROWS_PER_BLOCK):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _write(engine: "duckdb.DuckDBPyConnection", query: str, folder: Path) -> None:
    batches = engine.sql(query).to_arrow_reader(ROWS_PER_BLOCK)
    parts = PartWriter(folder, batches.schema)
    for batch in batches:
        parts.write(pa.Table.from_batches([batch]))
    parts.close()


def _quarantined(rows: list[tuple[str, int, str, str]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(QUARANTINE_SCHEMA)
    return pa.table(list(map(list, columns)), schema=QUARANTINE_SCHEMA)


TABLES = """
CREATE TABLE postings (item_id VARCHAR PRIMARY KEY, title VARCHAR, category VARCHAR,
                       subcategory VARCHAR, entities VARCHAR[]);
CREATE TABLE behaviors (file VARCHAR, fold VARCHAR, row BIGINT, member_id VARCHAR, ts BIGINT,
                        history VARCHAR, shown VARCHAR);
"""

SPLIT = """
CREATE OR REPLACE TEMP TABLE parsed AS
SELECT row, line, v, {reason} AS reason
FROM (SELECT row, rtrim(line, '\r\n') AS line, string_split(rtrim(line, '\r\n'), '\t') AS v
      FROM block)
"""

REFUSED = f"SELECT row, reason, left(line, {LONGEST_TEXT}) FROM parsed WHERE reason IS NOT NULL"

# id, category, subcategory, title, abstract, url, entities of the title, entities of the abstract
NEWS_REASON = f"""
CASE WHEN len(v) <> 8 THEN '{MALFORMED}'
     WHEN trim(v[1]) = '' THEN 'missing item_id'
     WHEN trim(v[4]) = '' THEN 'missing title' END
"""

# The first part that knows an item describes it.
NEWS = f"""
INSERT OR IGNORE INTO postings
SELECT v[1],
       left(concat_ws(' ', v[2], v[3], v[4], CASE WHEN ? THEN nullif(v[5], '') END),
            {LONGEST_TEXT}),
       v[2], v[3],
       list_sort(list_distinct(list_concat(
           CASE WHEN json_valid(v[7]) THEN json_extract_string(v[7], '$[*].WikidataId') END,
           CASE WHEN json_valid(v[8]) THEN json_extract_string(v[8], '$[*].WikidataId') END)))
FROM parsed WHERE reason IS NULL
"""

TIME = "epoch_us(try_strptime(v[3], '%m/%d/%Y %I:%M:%S %p'))"

# impression, member, time, items read before, items shown with -1 for a click and -0 for none
BEHAVIOR_REASON = rf"""
CASE WHEN len(v) <> 5 THEN '{MALFORMED}'
     WHEN trim(v[2]) = '' THEN 'missing member_id'
     WHEN {TIME} IS NULL THEN 'unreadable ts'
     WHEN NOT regexp_full_match(v[5], '\S+-[01]( \S+-[01])*') THEN '{MALFORMED}' END
"""

BEHAVIORS = f"""
INSERT INTO behaviors SELECT ?, ?, row, v[2], {TIME}, v[4], v[5] FROM parsed WHERE reason IS NULL
"""

IN_ORDER = """
SELECT member_id, ts, history,
       list_transform(list_filter(string_split(shown, ' '), lambda x: right(x, 1) = '1'),
                      lambda x: left(x, -2)) AS clicked,
       file, row
FROM behaviors ORDER BY member_id, ts, fold DESC, row
"""

IMPRESSIONS = f"""
SELECT member_id, ts, '{SHOWN}' AS channel, CAST(NULL AS VARCHAR) AS query,
       list_transform(string_split(shown, ' '), lambda x: left(x, -2)) AS item_ids,
       list_transform(string_split(shown, ' '),
                      lambda x: CASE WHEN right(x, 1) = '1' THEN '{ACTION}' ELSE '' END)
           AS outcomes,
       fold
FROM behaviors ORDER BY member_id, ts, fold DESC, row
"""
