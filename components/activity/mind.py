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

TRAIN, DEV, TEST = "train", "dev", "test"
FOLDS = {TRAIN: ("train",), DEV: ("dev", "valid"), TEST: ("test",)}
"""The parts of the data set, and the plain names of their folders; test may be missing."""


class Impression(NamedTuple):
    """One page shown to a member.

    Attributes:
        ts: when, microseconds UTC.
        history: what he had read by then.
        clicked: what he clicked on it.
        hidden: whether these clicks are kept from models.
    """

    ts: int
    history: Sequence[str]
    clicked: Sequence[str]
    hidden: bool = False


class Click(NamedTuple):
    """One item read, and the number of the impression that tells of it."""

    ts: int
    item: str
    channel: str
    impression: int


def ingest_mind(
    config: MindConfig, vertical: Vertical, target: Path, *, quarantine_limit: float
) -> IngestSummary:
    """Write the feed of the folders train, dev and, where it is there, test of MIND.

    Each member's clicks become actions whose title is the item's text: category, subcategory, title
    and abstract, as far as it has them; `trail` tells when. Clicks on pages of dev are left out
    unless `config.dev_clicks`. Beside the actions the feed has what labels and ranking need later:

    - `postings/`: item_id, title (as in the actions, null without any text), category,
      subcategory, entities (Wikidata ids of title and abstract, sorted) and labels
      (`category_subcategory`, then each entity's name and id, `Tiger Woods (Q10993)`).
    - `impressions/`: member_id, ts, channel, query (null), item_ids from the top, outcomes (VIEW or
      nothing), fold (train or dev), impression_id and history (item ids) as in the file; by member
      and time. Item ids that news.tsv does not explain stay.
    - `unlabelled/`: the same of the test part, whose outcomes nobody knows: all are nothing.

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
    files = [(fold, *found) for fold in FOLDS if (found := _files(config, fold))]
    engine = open_engine()
    engine.execute(TABLES)
    with (
        open_feed(target, quarantine_limit=quarantine_limit) as feed,
        progress("Reading news", total=sum(n.size + b.size for _, n, b in files)) as bar,
    ):
        for fold, news, behaviors in files:
            _load(engine, news, feed, reason=NEWS_REASON, insert=NEWS, values=(config.abstract,))
            bar.advance(news.size)
            marked = "" if fold == TEST else "-[01]"
            _load(
                engine,
                behaviors,
                feed,
                reason=BEHAVIOR_REASON.format(marked=marked),
                insert=BEHAVIORS,
                values=(behaviors.name, fold),
            )
            bar.advance(behaviors.size)
        _write(engine, POSTINGS, feed.folder / "postings")
        _write(engine, IMPRESSIONS.format(labelled=""), feed.folder / "impressions")
        if files[-1][0] == TEST:
            _write(engine, IMPRESSIONS.format(labelled="NOT"), feed.folder / "unlabelled")
        _write_clicks(engine, feed, hidden=() if config.dev_clicks else (DEV,))
        feed.end_actions()
        return feed.finish(nothing=f"{config.path}: no actions")


def trail(impressions: Sequence[Impression]) -> Iterator[Click]:
    """Put together what one member read, in the order in which he read it.

    Clicks on an impression have its time. An item of a history that the trail does not have yet was
    read at an unknown time before the impression: such items keep their order and are placed an
    hour apart, closer if the member's previous impression leaves less room. So each is a session of
    its own, as nothing says which were read in one sitting; with `activity.idle_minutes` of 1 other
    clicks are, too, except those on one page. Hidden clicks are left out, also where a later
    history tells of them.

    Args:
        impressions: of one member, in time order.
    """
    known: set[str] = set()
    before: int | None = None
    for number, (ts, history, clicked, hidden) in enumerate(impressions):
        new = [item for item in dict.fromkeys(history) if item not in known]
        known.update(new, clicked)
        step = HOUR if before is None else min(HOUR, (ts - before) // (len(new) + 1))
        for left, item in zip(range(len(new), 0, -1), new, strict=True):
            yield Click(ts - left * step, item, READ, number)
        for item in () if hidden else clicked:
            yield Click(ts, item, SHOWN, number)
        before = ts


def _files(config: MindConfig, fold: str) -> tuple[SourceFile, SourceFile] | None:
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
    if fold == TEST:
        return None
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


def _write_clicks(
    engine: "duckdb.DuckDBPyConnection", feed: Feed, *, hidden: Sequence[str]
) -> None:
    postings = engine.sql("SELECT item_id, title FROM news").to_arrow_table()
    clicks, written = _clicks(engine, hidden), 0
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


def _clicks(
    engine: "duckdb.DuckDBPyConnection", hidden: Sequence[str]
) -> Iterator[tuple[str, int, str, str, str, int]]:
    for member, rows in groupby(_behaviors(engine), key=itemgetter(0)):
        places, impressions = [], []
        for _, ts, history, clicked, fold, file, row in rows:
            places.append((file, row))
            impressions.append(Impression(ts, history.split(), clicked, fold in hidden))
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
CREATE TABLE news (item_id VARCHAR PRIMARY KEY, title VARCHAR, category VARCHAR,
                   subcategory VARCHAR, entities STRUCT("WikidataId" VARCHAR, "Label" VARCHAR)[]);
CREATE TABLE behaviors (file VARCHAR, fold VARCHAR, row BIGINT, impression_id BIGINT,
                        member_id VARCHAR, ts BIGINT, history VARCHAR, shown VARCHAR);
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
     WHEN trim(v[1]) = '' THEN 'missing item_id' END
"""


def _entities(field: str) -> str:
    kind = '[{"WikidataId": "VARCHAR", "Label": "VARCHAR"}]'
    told = f"json_valid({field}) AND json_type({field}) = 'ARRAY'"
    return f"CASE WHEN {told} THEN json_transform({field}, '{kind}') END"


# The first part that knows an item describes it.
NEWS = f"""
INSERT OR IGNORE INTO news
SELECT v[1],
       nullif(left(concat_ws(' ', nullif(trim(v[2]), ''), nullif(trim(v[3]), ''),
                             nullif(trim(v[4]), ''), CASE WHEN ? THEN nullif(trim(v[5]), '') END),
                   {LONGEST_TEXT}), ''),
       trim(v[2]), trim(v[3]), list_concat({_entities("v[7]")}, {_entities("v[8]")})
FROM parsed WHERE reason IS NULL
"""

POSTINGS = """
WITH told AS (SELECT item_id, unnest(entities, recursive := true) FROM news),
names AS (SELECT "WikidataId" AS id, min(nullif(trim("Label"), '')) AS name FROM told GROUP BY id),
named AS (
    SELECT item_id, list(id ORDER BY id) AS ids,
           list(CASE WHEN name IS NULL THEN id ELSE name || ' (' || id || ')' END ORDER BY id)
               AS labels
    FROM (SELECT DISTINCT item_id, "WikidataId" AS id FROM told WHERE "WikidataId" <> '')
    JOIN names USING (id) GROUP BY item_id)
SELECT item_id, title, category, subcategory, coalesce(ids, []) AS entities,
       list_concat(list_filter([concat_ws('_', nullif(category, ''), nullif(subcategory, ''))],
                               lambda x: x <> ''), labels) AS labels
FROM news LEFT JOIN named USING (item_id) ORDER BY item_id
"""

TIME = "epoch_us(try_strptime(v[3], '%m/%d/%Y %I:%M:%S %p'))"

# impression, member, time, items read before, items shown with -1 for a click and -0 for none
BEHAVIOR_REASON = rf"""
CASE WHEN len(v) <> 5 THEN '{MALFORMED}'
     WHEN try_cast(v[1] AS BIGINT) IS NULL THEN 'unreadable impression_id'
     WHEN trim(v[2]) = '' THEN 'missing member_id'
     WHEN {TIME} IS NULL THEN 'unreadable ts'
     WHEN NOT regexp_full_match(trim(v[5]), '\S+{{marked}}( \S+{{marked}})*') THEN '{MALFORMED}' END
"""

BEHAVIORS = f"""
INSERT INTO behaviors SELECT ?, ?, row, CAST(v[1] AS BIGINT), v[2], {TIME}, v[4], trim(v[5])
FROM parsed WHERE reason IS NULL
"""

BY_MEMBER = f"ORDER BY member_id, ts, list_position({list(FOLDS)}, fold), row"

IN_ORDER = f"""
SELECT member_id, ts, history,
       CASE WHEN fold = '{TEST}' THEN []
            ELSE list_transform(list_filter(string_split(shown, ' '), lambda x: right(x, 1) = '1'),
                                lambda x: left(x, -2)) END AS clicked,
       fold, file, row
FROM behaviors {BY_MEMBER}
"""

# An item's id ends neither in -0 nor in -1, so test parts may have labels, which nobody reads.
IMPRESSIONS = f"""
SELECT member_id, ts, '{SHOWN}' AS channel, CAST(NULL AS VARCHAR) AS query,
       list_transform(string_split(shown, ' '), lambda x: regexp_replace(x, '-[01]$', ''))
           AS item_ids,
       list_transform(string_split(shown, ' '),
                      lambda x: CASE WHEN fold <> '{TEST}' AND right(x, 1) = '1'
                                     THEN '{ACTION}' ELSE '' END) AS outcomes,
       fold, impression_id,
       list_filter(string_split(history, ' '), lambda x: x <> '') AS history
FROM behaviors WHERE {{labelled}} fold <> '{TEST}' {BY_MEMBER}
"""
