"""Cut each member's actions, merged over all channels, into sessions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.activity.config import ActivityConfig
from components.activity.schema import ACTION_SCHEMA, SESSION_SCHEMA, ActivityError
from components.files import whole_directory

if TYPE_CHECKING:
    import ibis.expr.types as ir

MICROSECONDS_PER_MINUTE = 60_000_000
ROWS_PER_BATCH = 131_072
ROWS_PER_GIGABYTE = 2_500_000


def sessionise(actions: ir.Table, *, idle_minutes: int = 30) -> ir.Table:
    """Number the sessions of every member; a gap longer than `idle_minutes` opens a new one.

    Event time is an integer, because timestamp arithmetic rounds differently from engine to engine.
    The running sum takes in all actions of one instant at once, so the numbers do not depend on the
    order in which an engine meets them.

    Args:
        actions: one row per action, with `member_id` and `ts` (microseconds UTC, int64).
        idle_minutes: longest pause within a session, in minutes.

    Returns:
        `actions` plus `session` (int64, from 1 per member).

    Source: paper, section 3.1.
    """
    import ibis

    by_time = {"group_by": "member_id", "order_by": "ts"}
    gap = actions.ts - actions.ts.lag().over(ibis.window(**by_time))
    opens = (gap.isnull() | (gap > idle_minutes * MICROSECONDS_PER_MINUTE)).cast("int64")
    counted = actions.mutate(opens=opens)
    until_now = ibis.range_window(preceding=None, following=0, **by_time)
    session = counted.opens.sum().over(until_now).cast("int64")
    return counted.mutate(session=session).drop("opens")


def write_sessions(actions: Path, target: Path, config: ActivityConfig) -> dict[str, int]:
    """Write sessions of all actions: sorted, and spread over parts by a hash of the member.

    `target` receives `part-00000.parquet` onwards (`SESSION_SCHEMA`, sorted by member, time and
    sequence, a member always whole in one part) and `sessions.json`; it appears whole or not at
    all. Both engines write the same rows in the same order to the same parts. There are
    `config.partitions` parts, or more where one would not fit `config.memory_limit_gb`.

    Args:
        actions: a Parquet file, or a folder of them, with the columns of `ACTION_SCHEMA`.
        target: directory to create or replace.
        config: idle limit, engine, partitions and memory.

    Returns:
        What `sessions.json` holds: the number of `actions`, `sessions`, `members` and `parts`.

    Raises:
        ActivityError: no Parquet file, a column missing or of a wrong type, or a null in a column
            that has to be filled; the message names the file and the column.
    """
    files = _parquet_files(actions)
    rows = sum(check_columns(file, ACTION_SCHEMA).num_rows for file in files)
    parts = max(config.partitions, _parts_that_fit(rows, config.memory_limit_gb))
    with whole_directory(target) as aside:
        if config.engine == "spark":
            from components.activity.spark import write_parts
        else:
            from components.activity.local import write_parts
        counts = write_parts(files, aside, parts=parts, rows=rows, config=config)
        summary = {"actions": rows, **counts, "parts": parts}
        (aside / "sessions.json").write_text(json.dumps(summary, indent=1) + "\n")
    return summary


def session_parts(sessions: Path) -> list[Path]:
    """The Parquet parts of a sessions directory, in order.

    Raises:
        ActivityError: there are none.
    """
    return _parquet_files(sessions)


def iterate_members(
    sessions: Path, columns: Sequence[str] = tuple(SESSION_SCHEMA.names)
) -> Iterator[pa.RecordBatch]:
    """Read sessions as a stream of batches, all rows of a member within one batch.

    Args:
        sessions: what `write_sessions` wrote, or a single part of it.
        columns: columns wanted; `member_id` always comes along.

    Yields:
        Batches of at least one member, in the order of the parts and of the rows in them.

    Raises:
        ActivityError: a part is missing, broken, or lacks a column.
    """
    wanted = list(dict.fromkeys(["member_id", *columns]))
    schema = pa.schema([SESSION_SCHEMA.field(name) for name in wanted])
    for part in session_parts(sessions):
        check_columns(part, schema)
        open_member: list[pa.RecordBatch] = []
        for batch in read_batches(part, ROWS_PER_BATCH, wanted):
            batch = batch.select(wanted)
            last = _start_of_last_member(batch)
            if last > 0 or (open_member and _first(batch) != _first(open_member[0])):
                yield from _whole([*open_member, batch.slice(0, last)])
                open_member = []
            open_member.append(batch.slice(last))
        yield from _whole(open_member)


def check_columns(file: Path, wanted: pa.Schema) -> pq.FileMetaData:
    """Return a Parquet file's metadata if it has the columns of `wanted`, of these types.

    Raises:
        ActivityError: it is broken, or a column is missing or of a wrong type; names both.
    """
    try:
        with pq.ParquetFile(file) as opened:
            found, metadata = opened.schema_arrow, opened.metadata
    except (OSError, pa.ArrowException) as error:
        raise ActivityError(f"{file}: cannot be read as Parquet: {error}") from error
    for field in wanted:
        if found.get_field_index(field.name) < 0:
            raise ActivityError(f"{file}: column {field.name} is missing")
        kind = found.field(field.name).type
        if not (kind == field.type or (pa.types.is_string(field.type) and _is_text(kind, field))):
            raise ActivityError(f"{file}: column {field.name} is {kind}, it has to be {field.type}")
    return metadata


def read_batches(
    file: Path, rows: int, columns: Sequence[str], **options: Any
) -> Iterator[pa.RecordBatch]:
    """Read a Parquet file as batches of at most `rows`; `options` are those of `ParquetFile`.

    Raises:
        ActivityError: the file is broken; names it.
    """
    try:
        with pq.ParquetFile(file, **options) as source:
            yield from source.iter_batches(rows, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise ActivityError(f"{file}: cannot be read as Parquet: {error}") from error


def _start_of_last_member(batch: pa.RecordBatch) -> int:
    members = batch["member_id"]
    return pc.index(members, members[-1]).as_py()


def _first(batch: pa.RecordBatch) -> str:
    return batch["member_id"][0].as_py()


def _whole(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return iter(pa.Table.from_batches(batches).combine_chunks().to_batches() if batches else [])


def _parts_that_fit(rows: int, memory_gb: float) -> int:
    return math.ceil(rows / (memory_gb * ROWS_PER_GIGABYTE))


def _parquet_files(place: Path) -> list[Path]:
    files = [place] if place.is_file() else sorted(place.glob("*.parquet"))
    if not files:
        raise ActivityError(f"{place}: holds no Parquet file")
    return files


def _is_text(kind: pa.DataType, field: pa.Field) -> bool:
    """Whether a column can be read as text; a column without a single value may have no type."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in texts) or (field.nullable and pa.types.is_null(kind))
