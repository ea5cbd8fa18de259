"""Members whose activity vectors are nearest: random shards, searched in parallel and merged.

An index is a directory: `manifest.json` names encoder, shards and the digest of every file,
`members.arrow` the members row by row. A row is a member's place among those indexed; similarities
are cosines, and do not depend on how many shards or threads there are.

Source: paper, section 4.3 (SANNS).
"""

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
from components.neighbours.exact import hold_blas
from components.neighbours.manifest import MEMBERS, ROWS, Manifest
from components.neighbours.shard import Shard
from components.neighbours.unit import unit_rows


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
    """

    def __init__(self, directory: Path, manifest: Manifest, member_ids: pa.Array, shards, rows):
        """See `open`."""
        self.member_ids, self.encoder, self.dimension = (
            member_ids,
            manifest.encoder,
            manifest.dimension,
        )
        self._directory = directory
        self._shards: list[Shard] = shards
        self._bounds = np.cumsum([0, *(len(shard) for shard in shards)])
        self._place = np.empty(len(rows), np.int64)
        self._place[rows] = np.arange(len(rows))
        self._row_of_id: dict[str, int] | None = None
        self._pool = ThreadPoolExecutor(len(shards)) if len(shards) > 1 else None
        self.refresh()

    @classmethod
    def open(cls, directory: Path, *, encoder: str | None = None, verify: bool = True) -> Self:
        """Map an index that `build_index` wrote.

        Args:
            directory: that was written.
            encoder: version that the queries' vectors are of.
            verify: whether to read every file once, to compare its digest.

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
            Shard.open(directory / entry.file, rows[end - entry.count : end], manifest.dimension)
            for entry, end in zip(manifest.shards, ends, strict=True)
        ]
        return cls(directory, manifest, members, shards, rows)

    def __len__(self) -> int:
        """Number of rows, the removed among them."""
        return len(self.member_ids)

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each member; -1 for one that is unknown or removed."""
        if self._row_of_id is None:
            self._row_of_id = {name: row for row, name in enumerate(self.member_ids.to_pylist())}
        known = self._row_of_id
        rows = np.fromiter((known.get(name, -1) for name in ids), np.int64, len(ids))
        if self._hidden is not None:
            rows[(rows >= 0) & self._hidden[rows]] = -1
        return rows

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
        self, queries: NDArray[np.float32], k: int, *, at_least: float | None = None
    ) -> Found:
        """Find the members nearest to each query.

        A query that is a member's own vector finds that member too. A zero query (a member without
        history) finds nobody.

        Args:
            queries: vectors of any length, [q, d].
            k: most members per query.
            at_least: smallest similarity of those returned.

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
        hidden = self._hidden

        def search(shard: Shard) -> Found:
            return Found(*shard.search(units, k, hidden))

        with hold_blas():
            found = list((self._pool.map if self._pool else map)(search, self._shards))
        merged = _merge(found, k)
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
        removed = removal.read(self._directory)
        self._hidden: NDArray[np.bool_] | None = None
        if removed:
            rows = self.rows(removed)
            hidden = np.zeros(len(self), np.bool_)
            hidden[rows[rows >= 0]] = True
            self._hidden = hidden


def _merge(found: list[Found], k: int) -> Found:
    if len(found) == 1:
        return found[0]
    rows = np.concatenate([part.rows for part in found], axis=1)
    similarity = np.concatenate([part.similarity for part in found], axis=1)
    similarity[rows < 0] = -np.inf
    order = np.lexsort((rows, -similarity), axis=-1)[:, :k]
    return Found(
        np.take_along_axis(rows, order, axis=1), np.take_along_axis(similarity, order, axis=1)
    )
