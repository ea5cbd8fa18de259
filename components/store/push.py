"""Push a run's vectors and entities as a new version that readers switch to in one step."""

import hashlib
import json
import logging
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import feather

from components.encoder.vectors import ABOUT, MEMBERS, VECTORS, load_vectors
from components.progress import progress
from components.store.errors import StoreError
from components.store.records import Records, Schema, checked_keys, pack
from components.store.shards import pool_of, put_in_process, put_shard, put_shards
from components.store.store import open_store
from components.store.versions import Version

MEMBERS_PER_SHARD = 16_384
_LABEL_COLUMNS = {"any": ("labels", "scores"), "explore": ("explore_labels", "explore_scores")}
_log = logging.getLogger(__name__)


class Source(NamedTuple):
    """Where a push reads from.

    Attributes:
        vectors: directory of member vectors, see `components.encoder.vectors`.
        entities: Parquet file with member_id, labels and scores, and perhaps explore_labels and
            explore_scores: ranked lists, best first.
    """

    vectors: Path
    entities: Path


def push(
    url: str | Path,
    dataset: str,
    source: Source,
    *,
    data_time: int,
    model: str | None = None,
    schema: Schema | None = None,
    labels: Path | pa.Table | None = None,
    shard_size: int = MEMBERS_PER_SHARD,
    workers: int = 1,
    keep: int = 2,
) -> Version:
    """Write a version beside the current one, read it back, switch to it, and expire older ones.

    Readers go on with the version before until the switch, and so they do when the push fails. A
    push that was killed is continued by the next one of the same source: shards that are in place
    are kept. A push of another source, or `abandon`, removes what it left.

    Args:
        url: of the store, see `open_store`.
        dataset: content to push to.
        source: what to push.
        data_time: microseconds UTC; the source holds every action up to it. Records written in
            near real time that are newer go into the version too.
        model: encoder version of the vectors, by default what they say themselves.
        schema: sizes, by default those of the source.
        labels: table or Parquet file of the labels' kinds and texts (label, kind, text).
        shard_size: members written, and checked, at a time.
        workers: processes that write, where the backend takes several.
        keep: versions to keep, the new one included.

    Raises:
        StoreError: the source is damaged or does not fit, the store is out of reach or full, or
            what was written could not be read back.
    """
    if keep < 1:
        raise StoreError(f"keep {keep}: the new version always stays")
    content = _Content.open(source, schema)
    made_by = content.made_by(model)
    version = Version(0, made_by, content.schema, len(content.order), "", data_time, 0, "pushing")
    origin = _fingerprint(source, version, shard_size)
    starts = range(0, len(content.order), shard_size)
    with open_store(url, dataset=dataset, role="writer") as store:
        started = store.backend.begin(version, origin, _label_bytes(labels))
        if started.finished:
            _log.info("resumed=%d finished_shards=%d", started.number, len(started.finished))
        rows = (content.order[start : start + shard_size] for start in starts)
        shards = ((number, *content.packed(part, data_time)) for number, part in enumerate(rows))
        parallel = store.backend.parallel
        processes = min(workers, len(starts)) if parallel else 1
        pool: Executor
        if processes > 1:
            pool, put = pool_of(str(url), dataset, started, processes), put_in_process
        else:
            # One shard is read back while another is sent; a file has one writer at a time.
            pool = ThreadPoolExecutor(2 if parallel else 1)
            put = partial(put_shard, store.backend, started)
        with progress("push", total=len(content.order)) as bar:
            digests = put_shards(pool, put, shards, bar, waiting=processes + 2)
        pushed = store.backend.switch(
            started,
            members=len(content.order),
            checksum=hashlib.sha256("".join(digests).encode()).hexdigest(),
            pushed_at=time.time_ns() // 1000,
        )
        _log.info("pushed=%d model=%s members=%d", pushed.number, pushed.model, pushed.members)
        store.expire(keep)
        return pushed


def abandon(url: str | Path, dataset: str) -> list[int]:
    """Remove what an unfinished push left; return the versions' numbers."""
    with open_store(url, dataset=dataset, role="writer") as store:
        left = [one.number for one in store.versions() if one.status == "pushing"]
        for number in left:
            store.backend.drop(number)
        return left


def newest_action(sessions: Path) -> int:
    """Return the data time of a run: that of the newest action in its sessions, microseconds UTC.

    Raises:
        StoreError: there is none.
    """
    newest = [
        pc.max(pq.read_table(part, columns=["ts"])["ts"]).as_py()
        for part in sorted(sessions.glob("*.parquet"))
    ]
    if not any(newest):
        raise StoreError(f"{sessions}: no actions")
    return max(time for time in newest if time is not None)


class _Content(NamedTuple):
    members: pa.Array
    vectors: NDArray[np.float32]
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    order: NDArray[np.int64]
    schema: Schema
    directory: Path
    encoder: str

    @classmethod
    def open(cls, source: Source, schema: Schema | None) -> Self:
        vectors = load_vectors(source.vectors)
        try:
            encoder = json.loads((source.vectors / ABOUT).read_text())["encoder"]
            members = feather.read_table(source.vectors / MEMBERS)["member_id"].combine_chunks()
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"{source.vectors}: not readable as vectors: {error!r}") from error
        if len(members) != len(vectors) or not len(members):
            raise StoreError(f"{source.vectors}: {len(members)} members, {len(vectors)} vectors")
        order = _sorted(members, source.vectors)
        table = _entities(source.entities)
        wanted = schema or Schema(vectors.shape[1], _longest(table), _surfaces(table))
        if wanted.dimension != vectors.shape[1] or set(wanted.surfaces) - set(_surfaces(table)):
            raise StoreError(
                f"the schema wants {wanted.dimension} dimensions and surfaces {wanted.surfaces}; "
                f"{source.vectors} has {vectors.shape[1]}, {source.entities} {_surfaces(table)}"
            )
        rows = _rows_of(members, table["member_id"].combine_chunks())
        lists = [_LABEL_COLUMNS[surface] for surface in wanted.surfaces]
        labels = [_padded(table[name], rows, wanted.entities, -1, np.int32) for name, _ in lists]
        scores = [_padded(table[name], rows, wanted.entities, 0, np.float32) for _, name in lists]
        stacked = np.stack(labels, axis=1), np.stack(scores, axis=1)
        return cls(members, vectors, *stacked, order, wanted, source.vectors, encoder)

    def made_by(self, model: str | None) -> str:
        if model not in (None, self.encoder):
            raise StoreError(f"{self.directory}: vectors of {self.encoder}, not of {model}")
        return self.encoder

    def packed(self, rows: NDArray[np.int64], data_time: int) -> tuple[list[bytes], list[bytes]]:
        members = self.members.take(pa.array(rows))
        times = np.full(len(rows), data_time, np.int64)
        vectors = self.vectors[rows]
        records = Records(members, vectors, self.labels[rows], self.scores[rows], times)
        return checked_keys(members), pack(records)


def _sorted(members: pa.Array, directory: Path) -> NDArray[np.int64]:
    order = pc.sort_indices(members)
    ranked = members.take(order)
    twice = pc.equal(ranked[1:], ranked[:-1])
    if pc.any(twice).as_py():
        raise StoreError(f"{directory}: member {ranked[pc.index(twice, True).as_py()]} twice")
    return order.to_numpy().astype(np.int64)


def _entities(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: not readable as entities: {error}") from error
    missing = {"member_id", *_LABEL_COLUMNS["any"]} - set(table.column_names)
    if missing:
        raise StoreError(f"{path}: no column {', '.join(sorted(missing))}")
    return table


def _surfaces(table: pa.Table) -> tuple[str, ...]:
    return tuple(
        name for name, (labels, _) in _LABEL_COLUMNS.items() if labels in table.schema.names
    )


def _longest(table: pa.Table) -> int:
    names = [_LABEL_COLUMNS[surface][0] for surface in _surfaces(table)]
    return max(pc.max(pc.list_value_length(table[name])).as_py() or 0 for name in names)


def _rows_of(members: pa.Array, others: pa.Array) -> NDArray[np.int64]:
    """Where each member is among the others, -1 if nowhere."""
    if members.equals(others):
        return np.arange(len(members))
    return pc.index_in(members, others).fill_null(-1).to_numpy().astype(np.int64)


def _padded(
    column: pa.ChunkedArray, rows: NDArray, width: int, blank: float, kind: type
) -> NDArray:
    """Lists as rows of equal width, those of members without any all blank."""
    lists = column.combine_chunks()
    if not np.array_equal(rows, np.arange(len(lists))):
        lists = lists.take(pa.array(rows, mask=rows < 0))
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    if lengths.max(initial=0) > width:
        lists, lengths = pc.list_slice(lists, 0, width), np.minimum(lengths, width)
    values = lists.flatten().to_numpy(zero_copy_only=False)
    if len(values) == len(rows) * width:
        return values.astype(kind).reshape(len(rows), width)
    padded: NDArray = np.full((len(rows), width), blank, kind)
    padded[np.arange(width) < lengths[:, None]] = values
    return padded


def _label_bytes(labels: Path | pa.Table | None) -> bytes | None:
    if labels is None:
        return None
    table = labels if isinstance(labels, pa.Table) else pq.read_table(labels)
    if "label" in table.column_names:
        table = table.rename_columns({"label": "id"})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    kept = table.select(["id", "kind", "text"])
    with pa.ipc.new_file(sink, kept.schema, options=options) as writer:
        writer.write_table(kept)
    return sink.getvalue().to_pybytes()


def _fingerprint(source: Source, version: Version, shard_size: int) -> str:
    """Tells one push from another; files count as the same while untouched."""
    files = [*(source.vectors / name for name in (VECTORS, MEMBERS, ABOUT)), source.entities]
    marks = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    facts = [marks, version.model, version.schema.shape, version.data_time, shard_size]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
