"""Sessions on one machine: hash members to parts on disk, then sort and number part by part.

Texts stay dictionary codes from the file that is read to the file that is written: rows are moved
and sorted as integers, and the engine that numbers the sessions sees only member, time and row.
"""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.activity.config import ActivityConfig
from components.activity.schema import ACTION_SCHEMA, SESSION_SCHEMA, ActivityError
from components.activity.sessions import ROWS_PER_GIGABYTE, read_batches, sessionise
from components.progress import progress

if TYPE_CHECKING:
    import ibis

ROWS_PER_BATCH = 1 << 20
ROWS_PER_GROUP = 1 << 19
DICTIONARY_BYTES = 64 << 20
CODED = ("member_id", "channel", "action", "query", "company", "title")
CODES = pa.dictionary(pa.int32(), pa.string())
WRITTEN_SCHEMA = pa.schema(
    [field.with_type(CODES) if field.name in CODED else field for field in SESSION_SCHEMA]
)
ACTION_CODES = pa.schema([WRITTEN_SCHEMA.field(name) for name in ACTION_SCHEMA.names])


def write_parts(
    files: list[Path], target: Path, *, parts: int, rows: int, config: ActivityConfig
) -> dict[str, int]:
    """Write the numbered session parts of `files` into `target`.

    Args:
        files: Parquet files with the columns of `ACTION_SCHEMA`.
        target: existing directory, which also holds the intermediate file.
        parts: number of parts.
        rows: actions in `files` together.
        config: idle limit and memory.

    Returns:
        The number of `sessions` and `members`.
    """
    scratch = target / "scratch"
    scratch.mkdir()
    at_once = _parts_at_once(rows, parts, config)
    sessions = members = 0
    with progress("cut sessions", total=2 * rows) as bar:
        with Spill(scratch / "actions", parts) as spill:
            for file in files:
                for batch in _read(file):
                    spill.add(batch)
                    bar.advance(len(batch))

        engines: SimpleQueue[ibis.BaseBackend] = SimpleQueue()

        def cut(part: int) -> tuple[int, int, int]:
            table = _sorted(spill.read(part))
            engine = engines.get()
            try:
                numbers = _session_numbers(table, engine, idle_minutes=config.idle_minutes)
            finally:
                engines.put(engine)
            _write(table.append_column("session", pa.array(numbers)), target, part)
            last_of_member = _ends(table["member_id"])
            return len(table), int(numbers[last_of_member].sum()), len(last_of_member)

        with ExitStack() as stack, ThreadPoolExecutor(at_once) as pool:
            for _ in range(at_once):
                engines.put(stack.enter_context(_engine(scratch, at_once, config)))
            for rows_cut, new_sessions, new_members in pool.map(cut, range(parts)):
                sessions += new_sessions
                members += new_members
                bar.advance(rows_cut, sessions=sessions)
    shutil.rmtree(scratch)
    return {"sessions": sessions, "members": members}


class Spill:
    """Batches on disk, cut by part of the member, so that each part can be read on its own.

    Args:
        path: file to create.
        parts: number of parts.
    """

    def __init__(self, path: Path, parts: int):
        self._path, self._parts = path, parts
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in range(parts)]

    def __enter__(self) -> "Spill":
        self._file = self._path.open("wb")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Append the rows of `batch` to the parts of their members."""
        members = batch["member_id"]
        names = members.dictionary.cast(pa.binary()).to_pylist()
        part_of_name = np.fromiter(map(crc32, names), np.uint32, len(names)) % self._parts
        part_of_row = part_of_name[members.indices.to_numpy()]
        order = np.argsort(part_of_row.astype(np.uint16), kind="stable")
        ends = np.cumsum(np.bincount(part_of_row, minlength=self._parts))
        for part, rows in enumerate(np.split(order, ends[:-1])):
            if len(rows):
                self._append(part, _without_unused_texts(batch.take(pa.array(rows))))

    def read(self, part: int) -> pa.Table:
        """All rows of a part, in the order in which they were added, one chunk per column."""
        pieces = [ACTION_CODES.empty_table()]
        with pa.memory_map(str(self._path)) as file:
            for start, size in self._pieces[part]:
                file.seek(start)
                pieces.append(pa.ipc.open_stream(file.read_buffer(size)).read_all())
            # Combining copies, so nothing refers to the map when it closes.
            return pa.concat_tables(pieces).unify_dictionaries().combine_chunks()

    def _append(self, part: int, piece: pa.RecordBatch) -> None:
        start = self._file.tell()
        with pa.ipc.new_stream(self._file, piece.schema) as stream:
            stream.write_batch(piece)
        self._pieces[part].append((start, self._file.tell() - start))


def _read(file: Path) -> Iterator[pa.RecordBatch]:
    """Batches of `file` as `ACTION_CODES`."""
    options = {"read_dictionary": CODED, "pre_buffer": False}
    for batch in read_batches(file, ROWS_PER_BATCH, ACTION_SCHEMA.names, **options):
        columns = []
        for field in ACTION_CODES:
            column = batch[field.name]
            if column.type != field.type:
                column = _cast(column, field.type)
            if column.null_count and not field.nullable:
                raise ActivityError(f"{file}: column {field.name} has rows without a value")
            columns.append(column)
        yield pa.record_batch(columns, schema=ACTION_CODES)


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if wanted == CODES:
        return plain.cast(pa.string()).dictionary_encode()
    return plain.cast(wanted)


def _sorted(table: pa.Table) -> pa.Table:
    """Rows by member, time and sequence; member codes then follow the order of the ids."""
    members = table["member_id"].combine_chunks()
    by_name = pc.array_sort_indices(members.dictionary)
    rank = np.empty(len(by_name), np.int32)
    rank[by_name.to_numpy()] = np.arange(len(by_name), dtype=np.int32)
    ranks = rank[members.indices.to_numpy()]
    ranked = pa.DictionaryArray.from_arrays(ranks, members.dictionary.take(by_name))
    order = np.lexsort((table["sequence"], table["ts"], ranks))
    table = table.set_column(0, ACTION_CODES.field(0), ranked)
    return table.take(pa.array(order)).combine_chunks()


def _parts_at_once(rows: int, parts: int, config: ActivityConfig) -> int:
    """As many as there are cores to cut them and memory to hold them."""
    fit = int(config.memory_limit_gb * ROWS_PER_GIGABYTE * parts // max(rows, 1))
    return max(1, min(fit, parts, os.cpu_count() or 1))


@contextmanager
def _engine(scratch: Path, at_once: int, config: ActivityConfig) -> "Iterator[ibis.BaseBackend]":
    import ibis

    engine = ibis.duckdb.connect(
        memory_limit=f"{config.memory_limit_gb / at_once}GB",
        threads=max(1, (os.cpu_count() or 1) // at_once),
        temp_directory=str(scratch / "engine"),
        preserve_insertion_order=False,
    )
    try:
        yield engine
    finally:
        engine.disconnect()


def _session_numbers(
    table: pa.Table, engine: "ibis.BaseBackend", *, idle_minutes: int
) -> np.ndarray:
    import ibis

    narrow = {
        "member_id": table["member_id"].combine_chunks().indices,
        "ts": table["ts"],
        "row": np.arange(len(table), dtype=np.int32),
    }
    actions = ibis.memtable(pa.table(narrow))
    numbered = engine.to_pyarrow(
        sessionise(actions, idle_minutes=idle_minutes).select("row", "session")
    )
    numbers = np.empty(len(table), np.int64)
    numbers[numbered["row"].to_numpy()] = numbered["session"].to_numpy()
    return numbers


def _ends(members: pa.ChunkedArray) -> np.ndarray:
    """Last row of each run of equal members."""
    codes = members.combine_chunks().indices.to_numpy()
    return np.flatnonzero(np.diff(codes, append=-1))


def _write(table: pa.Table, target: Path, part: int) -> None:
    options = {
        "use_dictionary": list(CODED),
        "dictionary_pagesize_limit": DICTIONARY_BYTES,
        "column_encoding": dict.fromkeys(("ts", "sequence", "session"), "DELTA_BINARY_PACKED"),
        "write_statistics": ["member_id", "ts"],
        "store_schema": False,  # the codes are ours; readers get strings
    }
    path = target / f"part-{part:05d}.parquet"
    with pq.ParquetWriter(path, WRITTEN_SCHEMA, **options) as writer:
        for start in range(0, len(table), ROWS_PER_GROUP):
            for group in table.slice(start, ROWS_PER_GROUP).to_batches():
                compact = _without_unused_texts(group)
                writer.write_batch(compact.cast(WRITTEN_SCHEMA))


def _without_unused_texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [_compact(column) if column.type == CODES else column for column in batch.columns]
    return pa.record_batch(columns, schema=batch.schema)


def _compact(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """Leave only the texts that occur; a dictionary far smaller than the column may stay."""
    size = len(column.dictionary)
    if size <= len(column) // 4:
        return column
    codes = column.indices.fill_null(0).to_numpy()
    used = np.zeros(size, bool)
    used[codes] = True
    new_code = np.cumsum(used, dtype=np.int32) - 1
    missing = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    texts = column.dictionary.take(pa.array(np.flatnonzero(used)))
    return pa.DictionaryArray.from_arrays(pa.array(new_code[codes], mask=missing), texts)
