"""One part of an index: the unit vectors of its members, and what finds the nearest quickly."""

import logging
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from components.neighbours import exact
from components.neighbours.clusters import ClusterIndex
from components.neighbours.config import IndexKind, NeighboursConfig
from components.neighbours.errors import NeighboursError
from components.neighbours.graph import HnswIndex
from components.neighbours.manifest import Piece, ShardPiece

Index = ClusterIndex | HnswIndex
KINDS: dict[str, type[Index]] = {"clusters": ClusterIndex, "hnsw": HnswIndex}

logger = logging.getLogger(__name__)


class Shard:
    """Vectors of a shard, and the index's row of each.

    Attributes:
        vectors: of unit length, float32[m, d].
        rows: of the index, increasing, int64[m].
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        rows: NDArray[np.int64],
        index: Index | None,
    ):
        """See `open`.

        Args:
            vectors: of unit length, [m, d].
            rows: increasing, [m].
            index: over the vectors; without one they are all compared.
        """
        self.vectors, self.rows, self._index = vectors, rows, index

    @classmethod
    def open(
        cls, directory: Path, piece: ShardPiece, rows: NDArray[np.int64], dimension: int
    ) -> Self:
        """Map a shard.

        Raises:
            NeighboursError: a file is damaged or of another shape; names it.
        """
        path = directory / piece.file
        try:
            vectors = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise NeighboursError(f"{path}: missing or damaged: {error}") from error
        if vectors.shape != (len(rows), dimension) or vectors.dtype != np.float32:
            raise NeighboursError(
                f"{path}: {vectors.dtype}{list(vectors.shape)}, "
                f"the manifest says float32[{len(rows)}, {dimension}]"
            )
        kind = KINDS.get(piece.kind)
        return cls(vectors, rows, kind.load(path, piece.settings) if kind else None)

    def __len__(self) -> int:
        """Number of members."""
        return len(self.rows)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        shown: NDArray[np.bool_],
        *,
        width: int | None,
        compare_all: bool,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the index's rows and similarities, [q, k] each, best first, ties by row.

        Args:
            queries: of unit length, [q, d].
            k: members per query; -1 with similarity 0 where there are fewer.
            shown: whether each of the shard's members may be found; EVERYONE if all may.
            width: clusters looked into, or candidates kept while a graph is searched.
            compare_all: leave the index aside.
        """
        candidates = None
        if self._index and not compare_all:
            candidates = self._index.candidates(queries, shown, k, width)
        if candidates is None:
            places, similarity = exact.search(self.vectors, shown, queries, k)
        else:
            places, similarity = exact.best_of(self.vectors, queries, candidates, k)
            short = places[:, -1] < 0
            if width is None and short.any():  # nearly all that are near were removed
                some = exact.search(self.vectors, shown, queries[short], k)
                places[short], similarity[short] = some
        # An empty shard has no row to look up.
        rows = self.rows[places] if len(self) else places
        return np.where(places >= 0, rows, -1), similarity


def index_shard(path: Path, config: NeighboursConfig, *, seed: int) -> ShardPiece:
    """Index the vectors that lie at `path`, write the index beside them, describe the files.

    `auto` compares everything where members are few, or where clusters cannot reach the recall.
    """
    units = np.load(path, mmap_mode="r")
    kind, index = _built(units, config, seed)
    return ShardPiece.of(
        path,
        count=len(units),
        kind=kind,
        index=[Piece.of(file) for file in index.save(path)] if index else [],
        settings=index.settings if index else {},
    )


def _built(
    units: NDArray[np.float32], config: NeighboursConfig, seed: int
) -> tuple[IndexKind, Index | None]:
    few = len(units) <= config.exact_members
    if config.index == "exact" or not len(units) or (config.index == "auto" and few):
        return "exact", None
    if config.index == "hnsw":
        return "hnsw", HnswIndex.build(units, config, seed=seed)
    clusters = ClusterIndex.build(units, config, seed=seed)
    if config.index == "auto" and not clusters.efforts:
        logger.info("neighbours members=%d clusters=unfit recall=%g", len(units), config.recall)
        return "exact", None
    return "clusters", clusters
