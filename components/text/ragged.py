"""Work on runs of rows and on arrays of unequal length without a loop over them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.text.errors import TextError


def ragged_positions(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the positions that the runs `starts[i] : starts[i] + lengths[i]` cover, in order.

    Args:
        starts: int64[n].
        lengths: int64[n], none negative.

    Returns:
        int64[sum of lengths].
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total, dtype=np.int64)


def run_starts(column: pa.Array) -> np.ndarray:
    """Return int64 positions at which a column's value differs from the one before, 0 included."""
    if len(column) == 0:
        return np.zeros(0, dtype=np.int64)
    differs = pc.not_equal(column.slice(1), column.slice(0, len(column) - 1))
    return np.concatenate(([0], np.flatnonzero(differs.to_numpy(zero_copy_only=False)) + 1))


def whole_member_batches(part: Path, columns: list[str], *, rows: int) -> Iterator[pa.RecordBatch]:
    """Read a session part in batches of about `rows` rows that never split a member.

    Args:
        part: a Parquet file sorted by member.
        columns: columns to read, `member_id` among them.
        rows: rows to read at a time; a batch is larger only to hold a member whole.

    Raises:
        TextError: the file cannot be read or its members are not sorted.
    """
    held: list[pa.RecordBatch] = []
    for batch in read_batches(part, columns, rows=rows):
        starts = run_starts(batch.column("member_id"))
        members = batch.column("member_id").take(pa.array(starts))
        last = held[-1].column("member_id")[-1].as_py() if held else ""
        _check_ascending(part, last, members)
        if len(members) == 1 and members[0].as_py() == last:
            held.append(batch)
            continue
        cut = int(starts[-1])
        if held or cut:
            yield pa.concat_batches([*held, batch.slice(0, cut)])
        held = [batch.slice(cut)]
    if held:
        yield pa.concat_batches(held)


def read_batches(part: Path, columns: list[str], *, rows: int) -> Iterator[pa.RecordBatch]:
    """Read a Parquet file in batches of at most `rows` rows, none empty.

    Raises:
        TextError: the file cannot be read or lacks a column.
    """
    try:
        with pq.ParquetFile(part) as file:
            missing = sorted(set(columns) - set(file.schema_arrow.names))
            if missing:
                raise TextError(f"{part}: has no column {missing[0]!r}")
            yield from (batch for batch in file.iter_batches(rows, columns=columns) if len(batch))
    except (OSError, pa.ArrowException) as error:
        raise TextError(f"{part}: cannot be read: {error}") from error


def _check_ascending(part: Path, last: str, members: pa.Array) -> None:
    ascends = pc.less(members.slice(0, len(members) - 1), members.slice(1))
    ascends = ascends.to_numpy(zero_copy_only=False)
    if members[0].as_py() < last:
        raise TextError(f"{part}: members are not sorted: {members[0].as_py()!r} is out of place")
    if not ascends.all():
        member = members[int(np.argmin(ascends)) + 1].as_py()
        raise TextError(f"{part}: members are not sorted: {member!r} is out of place")
