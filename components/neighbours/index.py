"""Members whose activity vectors are nearest: random shards, searched in parallel and merged.

An index is a directory: `manifest.json` names encoder, shards and the digest of every file,
`members.arrow` the members row by row. A row is a member's place among those indexed; similarities
are cosines, and do not depend on how many shards or threads there are.

Source: paper, section 4.3 (SANNS).
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
from numpy.typing import NDArray

from components.neighbours import removal
from components.neighbours.errors import NeighboursError
from components.neighbours.exact import first_of
from components.neighbours.kernels import EVERYONE, pack
from components.neighbours.manifest import MEMBERS, ROWS, Manifest
from components.neighbours.shard import Shard
from components.neighbours.threads import hold_blas
from components.neighbours.unit import unit_rows

QUERIES_AT_ONCE = 1024


class Found(NamedTuple):
    """What a search returns, best first, ties by row.

    Attributes:
        rows: int64[q, k]; -1 where there were fewer.
        similarity: cosines, float32[q, k]; 0 where there were fewer.
    """

    rows: NDArray[np.int64]
    similarity: NDArray[np.float32]


class Neighbours:
    """An index opened for searching; safe to use from several threads.

    Attributes:
        member_ids: of every row, string array[n], the removed among them.
        encoder: version that made the vectors.
        dimension: of the vectors.
        kind: of the index in the shards, "exact", "clusters" or "hnsw"; where they differ, "mixed".
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        member_ids: pa.Array,
        shards: list[Shard],
        rows: NDArray[np.int64],
        threads: int | None,
    ):
        """See `open`."""
        self.encoder, self.dimension = manifest.encoder, manifest.dimension
        self.member_ids = member_ids
        kinds = {shard.kind for shard in manifest.shards}
        self.kind = kinds.pop() if len(kinds) == 1 else "mixed"
        self._directory, self._shards = directory, shards
        self._bounds = np.cumsum([0, *(len(shard) for shard in shards)])
        self._place = np.empty(len(rows), np.int64)
        self._place[rows] = np.arange(len(rows))
        self._row_of_id: dict[str, int] | None = None
        workers = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None
        self.refresh()

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        encoder: str | None = None,
        verify: bool = True,
        threads: int | None = None,
    ) -> Self:
        """Map an index that `build_index` wrote.

        Args:
            directory: that was written.
            encoder: version that the queries' vectors are of.
            verify: whether to read every file once, to compare its digest.
            threads: that search; all cores if None.

        Raises:
            NeighboursError: a file is missing, damaged or another's, or the index holds vectors of
                another encoder; names it.
        """
        manifest = Manifest.read(directory)
        if encoder is not None and encoder != manifest.encoder:
            raise NeighboursError(
                f"{directory}: holds vectors of encoder {manifest.encoder}, not of {encoder}"
            )
        manifest.check(directory, digests=verify)
        members = feather.read_table(directory / MEMBERS)["member_id"].combine_chunks()
        rows = np.load(directory / ROWS, mmap_mode="r")
        if not len(members) == len(rows) == manifest.count:
            raise NeighboursError(
                f"{directory / MEMBERS}: {len(members)} members, {len(rows)} rows, the manifest "
                f"says {manifest.count}"
            )
        ends = np.cumsum([entry.count for entry in manifest.shards])
        shards = [
            Shard.open(directory, entry, rows[end - entry.count : end], manifest.dimension)
            for entry, end in zip(manifest.shards, ends, strict=True)
        ]
        return cls(directory, manifest, members, shards, rows, threads)

    def __len__(self) -> int:
        """Number of rows, the removed among them."""
        return len(self.member_ids)

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each member; -1 for one that is unknown or removed."""
        rows = self._known(ids)
        return np.where(self._hidden[rows], -1, rows)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the unit vectors of these rows, [n, d].

        Raises:
            NeighboursError: a row that there is not.
        """
        rows = np.asarray(rows, np.int64)
        outside = (rows < 0) | (rows >= len(self))
        if outside.any():
            raise NeighboursError(
                f"{self._directory}: no row {rows[outside][0]} among {len(self)} members"
            )
        places = self._place[rows]
        shard_of = np.searchsorted(self._bounds, places, side="right") - 1
        out = np.empty((len(rows), self.dimension), np.float32)
        for number, shard in enumerate(self._shards):
            wanted = np.flatnonzero(shard_of == number)
            out[wanted] = shard.vectors[places[wanted] - self._bounds[number]]
        return out

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        at_least: float | None = None,
        width: int | None = None,
        compare_all: bool = False,
    ) -> Found:
        """Find the members nearest to each query.

        A query that is a member's own vector finds that member too. A zero query (a member without
        history) finds nobody.

        Args:
            queries: vectors of any length, [q, d].
            k: most members per query.
            at_least: smallest similarity of those returned.
            width: effort in a shard with an index, instead of its own: clusters looked into, or
                candidates kept while the graph is searched (efSearch).
            compare_all: compare every member, whatever index there is.

        Raises:
            NeighboursError: queries of another dimension, or not finite; names the row.
        """
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise NeighboursError(
                f"queries must be [q, {self.dimension}] like the index {self._directory}, "
                f"not {list(queries.shape)}"
            )
        if k < 1:
            raise NeighboursError(f"k must be at least 1, not {k}")
        units, zero = unit_rows(queries, lambda row: f"query {row}")

        def search(task: tuple[int, Shard, NDArray[np.bool_]]) -> Found:
            start, shard, shown = task
            block = units[start : start + QUERIES_AT_ONCE]
            return Found(*shard.search(block, k, shown, width=width, compare_all=compare_all))

        starts = range(0, max(len(units), 1), QUERIES_AT_ONCE)
        parts = list(zip(self._shards, self._shown, strict=True))
        tasks = [(start, *part) for start in starts for part in parts]
        parallel = self._pool.map if self._pool and len(tasks) > 1 else map
        with hold_blas():
            found = list(parallel(search, tasks))
        each = len(self._shards)
        blocks = [_merge(found[end - each : end], k) for end in range(each, len(found) + 1, each)]
        merged = Found(*map(np.concatenate, zip(*blocks, strict=True)))
        unwanted = np.repeat(zero[:, None], k, axis=1)
        if at_least is not None:
            unwanted |= merged.similarity < at_least
        merged.rows[unwanted] = -1
        merged.similarity[merged.rows < 0] = 0
        return merged

    def remove(self, ids: Sequence[str]) -> int:
        """Hide members from now on, in every process that opens this index and in what replaces it.

        Ids that are not indexed are kept too, so that a later index does not bring them in.

        Returns:
            How many of them were visible before.
        """
        visible = int((self.rows(ids) >= 0).sum())
        removal.add(self._directory, ids)
        self.refresh()
        return visible

    def refresh(self) -> None:
        """Read anew who was removed."""
        rows = self._known(removal.read(self._directory))
        hidden = np.zeros(len(self) + 1, np.bool_)  # one more, for the row -1 of those unknown
        hidden[rows[rows >= 0]] = True
        self._shown = [~hidden[s.rows] if hidden.any() else EVERYONE for s in self._shards]
        self._hidden = hidden

    def _known(self, ids: Sequence[str]) -> NDArray[np.int64]:
        if self._row_of_id is None and len(ids):  # searches need no ids
            self._row_of_id = {name: row for row, name in enumerate(self.member_ids.to_pylist())}
        known = self._row_of_id or {}
        return np.fromiter((known.get(name, -1) for name in ids), np.int64, len(ids))


def _merge(found: list[Found], k: int) -> Found:
    if len(found) == 1:
        return found[0]
    rows = np.concatenate([part.rows for part in found], axis=1)
    keys = np.empty(rows.shape, np.int64)
    pack(rows, np.concatenate([part.similarity for part in found], axis=1), keys)
    return Found(*first_of(keys, k))
