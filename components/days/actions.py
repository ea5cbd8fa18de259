"""All that happened until a day: what happened before it, and what is new.

Actions keep the order they came in by a number that runs over all parts. New ones may overlap with
what is known, as when a day was missed or delivered twice: equal rows count once. Rows of members
who were deleted are dropped for good.
"""

import logging
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.activity.duplicates import drop_duplicates
from components.activity.schema import ACTION_SCHEMA
from components.days.errors import DaysError
from components.files import whole_directory, whole_file
from components.store.store import open_store
from components.variants.package import link_tree

_log = logging.getLogger(__name__)


class Merged(NamedTuple):
    """What a day added.

    Attributes:
        new: actions that were not known.
        known: new ones that were known already, or came twice.
        deleted: rows of deleted members.
        day: ISO date of the newest action, UTC.
    """

    new: int
    known: int
    deleted: int
    day: str


def renumbered(actions: Path, target: Path, *, first: int = 0) -> int:
    """Copy actions, numbering them over all parts.

    Args:
        actions: directory of Parquet parts of ACTION_SCHEMA.
        target: directory to write into; its parts' names begin with `first`.
        first: number of the first.

    Returns:
        The number after the last.
    """
    for part in sorted(actions.glob("*.parquet")):
        table = pq.read_table(part, schema=ACTION_SCHEMA)
        if not len(table):
            continue
        numbers = pa.array(range(first, first + len(table)), pa.int64())
        place = ACTION_SCHEMA.get_field_index("sequence")
        table = table.set_column(place, ACTION_SCHEMA.field(place), numbers)
        pq.write_table(table, target / f"part-{first:015d}.parquet", compression="zstd")
        first += len(table)
    return first


def merge_actions(history: Path, new: Path, target: Path, *, deleted: Collection[str]) -> Merged:
    """Write the actions known so far and the new ones, all or nothing.

    Args:
        history: directory written by this, or by `renumbered`.
        new: directory of new actions; may be empty of parts.
        target: directory to write.
        deleted: members whose rows are dropped.

    Raises:
        DaysError: there is nothing at all.
    """
    with whole_directory(target) as directory:
        link_tree(history, directory)
        numbers = [_last(part) for part in directory.glob("*.parquet")]
        first = 1 + max(numbers, default=-1)
        end = renumbered(new, directory, first=first)
        known = sum(len(dropped) for dropped in drop_duplicates(directory)) if end > first else 0
        gone = _drop_members(directory, deleted) if deleted else 0
        times = [pc.max(_times(part)).as_py() for part in directory.glob("*.parquet")]
        newest = max((time for time in times if time is not None), default=None)
    if newest is None:
        raise DaysError(f"{history}: no actions, and none are new")
    merged = Merged(end - first - known, known, gone, iso_day(newest))
    _log.info("actions new=%d known=%d deleted=%d day=%s", *merged)
    return merged


def index_is_due(day: str, indexed: str, every: int) -> bool:
    """Whether the index of members is to be made anew.

    Args:
        day: ISO date of the newest action.
        indexed: that of the newest action that the index knows.
        every: days from one index to the next.
    """
    return (date.fromisoformat(day) - date.fromisoformat(indexed)).days >= every


def deleted_members(store: str, datasets: Iterable[str]) -> set[str]:
    """Return the members who were deleted from a store, from any of its contents.

    Raises:
        StoreError: the store is out of reach.
    """
    deleted: set[str] = set()
    for dataset in datasets:
        with open_store(store, dataset=dataset, role="writer") as opened:
            deleted |= set(opened.deleted())
    return deleted


def iso_day(ts: int) -> str:
    """Write the day, UTC, of a time in microseconds."""
    return datetime.fromtimestamp(ts / 1e6, UTC).date().isoformat()


def newest_day(actions: Path) -> str:
    """Return the ISO date of the newest action of a directory."""
    times = [pc.max(_times(part)).as_py() for part in actions.glob("*.parquet")]
    if not any(times):
        raise DaysError(f"{actions}: no actions")
    return iso_day(max(time for time in times if time is not None))


def _times(part: Path) -> pa.ChunkedArray:
    return pq.read_table(part, columns=["ts"])["ts"]


def _last(part: Path) -> int:
    return pc.max(pq.read_table(part, columns=["sequence"])["sequence"]).as_py() or 0


def _drop_members(directory: Path, deleted: Collection[str]) -> int:
    dropped, names = 0, pa.array(sorted(deleted), pa.string())
    for part in sorted(directory.glob("*.parquet")):
        table = pq.read_table(part, schema=ACTION_SCHEMA)
        gone = pc.is_in(table["member_id"], names)
        if pc.any(gone).as_py():
            kept = table.filter(pc.invert(gone))
            dropped += len(table) - len(kept)
            with whole_file(part) as aside:
                pq.write_table(kept, aside, compression="zstd")
    return dropped
