"""Pages of a feed that members were shown in the target periods of their examples."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.activity.engine import open_engine
from components.activity.sessions import session_parts
from components.activity.split import TEST, TRAIN
from components.features.behaviour import impression_files
from components.ranking.config import ListsConfig

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Pages(NamedTuple):
    """Pages in order of member and time; their postings in the order shown, none twice.

    Attributes:
        member_ids, queries: of each page; a query may be None.
        ts: int64[n], microseconds UTC.
        example: int32[n], row of the member's latest example, -1 for a member without one.
        split: int8[n].
        offsets: int64[n + 1] into the postings.
        item_ids: distinct ids, and `items` their codes, int64[m].
        gains: float32[m], of the strongest outcome.
        dropped: counts of what was left out, by reason.
    """

    member_ids: list[str]
    queries: list[str | None]
    ts: NDArray[np.int64]
    example: NDArray[np.int32]
    split: NDArray[np.int8]
    offsets: NDArray[np.int64]
    item_ids: list[str]
    items: NDArray[np.int64]
    gains: NDArray[np.float32]
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.ts)


def read_pages(
    feed: Path, sessions: Path, examples: Path, config: ListsConfig, *, seed: int
) -> Pages:
    """Read the pages from which lists are made.

    Of a member with several examples only the latest counts: the targets of the others lie inside
    the past that his features are made of, which holds the outcomes of their pages.

    Raises:
        FeaturesError: a file of the feed is damaged; names it.
    """
    with open_engine() as engine:
        engine.read_parquet([str(f) for f in impression_files(feed)]).create_view("impression")
        engine.register("channel_wanted", pa.table({"channel": list(config.channels)}))
        load_periods(engine, sessions, examples)
        table = engine.query(_PAGES.format(test=TEST)).to_arrow_table()
    shown = _flatten(table["item_ids"], table["outcomes"], config)
    page, item, gain, item_ids, repeated = shown
    sizes = np.bincount(page, minlength=len(table))
    split = table["split"].to_numpy().astype(np.int8)
    members = table["member_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    drawn = _drawn(members, (split == TRAIN) & (sizes > 0), config.most_per_member, seed)
    kept = (sizes > 0) & drawn
    rows = np.flatnonzero(kept)
    wanted = kept[page]
    chosen = table.take(pa.array(rows))
    return Pages(
        member_ids=chosen["member_id"].to_pylist(),
        queries=chosen["query"].to_pylist(),
        ts=chosen["ts"].to_numpy(),
        example=chosen["example"].to_numpy().astype(np.int32),
        split=split[rows],
        offsets=np.append(0, np.cumsum(sizes[rows])).astype(np.int64),
        item_ids=item_ids,
        items=item[wanted],
        gains=gain[wanted],
        dropped={
            "pages without results": int((sizes == 0).sum()),
            "pages beyond most_per_member": int((~drawn).sum()),
            "repeated postings": repeated,
        },
    )


def load_periods(engine: "DuckDBPyConnection", sessions: Path, examples: Path) -> None:
    """Make `session_row`, and `period`: split, example, start and finish of each member's target.

    Start and finish are microseconds UTC; start is null where no target follows the context, finish
    where nothing follows the target.
    """
    engine.read_parquet([str(f) for f in session_parts(sessions)]).create_view("session_row")
    engine.execute(_EXAMPLES, [str(examples / "examples.parquet")])
    engine.execute(_PERIODS)


def _flatten(
    item_ids: pa.ChunkedArray, outcomes: pa.ChunkedArray, config: ListsConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], list[str], int]:
    """Return page, item code and gain of each posting, the first of equal ones with the best gain.

    Besides the distinct ids and how many postings were dropped as repeated.
    """
    lists, results = item_ids.combine_chunks(), outcomes.combine_chunks()
    page = np.repeat(np.arange(len(lists)), lists.value_lengths().fill_null(0).to_numpy())
    coded = lists.flatten().dictionary_encode()
    item = coded.indices.cast(pa.int64()).fill_null(-1).to_numpy()
    gain = _gains(results, page, np.arange(len(page)), config)
    named = item >= 0
    page, item, gain = page[named], item[named], gain[named]
    key = page * max(len(coded.dictionary), 1) + item
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    best = np.zeros(len(first), np.float32)
    np.maximum.at(best, group, gain)
    order = np.argsort(first)
    first, best = first[order], best[order]
    return page[first], item[first], best, coded.dictionary.to_pylist(), len(key) - len(first)


def _gains(
    outcomes: pa.Array, page: NDArray[np.int64], row: NDArray[np.int64], config: ListsConfig
) -> NDArray[np.float32]:
    """Gains beside the postings; a page with fewer outcomes than postings has none for the rest."""
    lengths = outcomes.value_lengths().fill_null(0).to_numpy().astype(np.int64)
    coded = outcomes.flatten().dictionary_encode()
    by_code = [config.gains.get(name or "", 0) for name in coded.dictionary.to_pylist()]
    by_outcome = np.array([*by_code, 0], np.float32)[
        coded.indices.cast(pa.int64()).fill_null(len(by_code)).to_numpy()
    ]
    place = row - np.searchsorted(page, page)
    start = np.cumsum(lengths) - lengths
    at = start[page] + place
    inside = place < lengths[page]
    gains = np.zeros(len(page), np.float32)
    gains[inside] = by_outcome[at[inside]]
    return gains


def _drawn(
    members: NDArray[np.integer], bounded: NDArray[np.bool_], most: int | None, seed: int
) -> NDArray[np.bool_]:
    """Whether each page is kept: at most so many of the bounded ones of a member, at random."""
    drawn = np.ones(len(members), bool)
    if most is None:
        return drawn
    rows = np.flatnonzero(bounded)
    order = rows[np.lexsort((np.random.default_rng(seed).random(len(rows)), members[rows]))]
    owner = members[order]
    drawn[order] = np.arange(len(order)) - np.searchsorted(owner, owner) < most
    return drawn


_EXAMPLES = """
CREATE TABLE example AS
SELECT * EXCLUDE (rank) FROM (
    SELECT member_id, split, context_end, target_end, file_row_number AS example,
        row_number() OVER (
            PARTITION BY member_id ORDER BY context_end DESC, target_end DESC, example DESC
        ) AS rank
    FROM read_parquet(?, file_row_number = true)
) WHERE rank = 1
"""

_PERIODS = """
CREATE TABLE period AS
SELECT member_id, any_value(split) AS split, any_value(example) AS example,
    min(ts) FILTER (session > context_end) AS start,
    min(ts) FILTER (session > target_end) AS finish
FROM session_row JOIN example USING (member_id) GROUP BY member_id
"""

_PAGES = """
SELECT member_id, ts, query, item_ids, outcomes, coalesce(example, -1) AS example,
    coalesce(split, {test}) AS split
FROM impression SEMI JOIN channel_wanted USING (channel) LEFT JOIN period USING (member_id)
WHERE example IS NULL OR (ts >= start AND (finish IS NULL OR ts < finish))
ORDER BY member_id, ts, query, item_ids
"""
