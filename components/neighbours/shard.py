"""One part of an index: the unit vectors of its members."""

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from components.neighbours import exact
from components.neighbours.errors import NeighboursError


class Shard:
    """Vectors of a shard, and the index's row of each.

    Attributes:
        vectors: of unit length, float32[m, d].
    """

    def __init__(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]):
        """See `open`.

        Args:
            vectors: of unit length, [m, d].
            rows: increasing, [m].
        """
        self.vectors, self._rows = vectors, rows

    @classmethod
    def open(cls, path: Path, rows: NDArray[np.int64], dimension: int) -> Self:
        """Map a shard's vectors.

        Raises:
            NeighboursError: the file is damaged or of another shape; names it.
        """
        try:
            vectors = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise NeighboursError(f"{path}: missing or damaged: {error}") from error
        if vectors.shape != (len(rows), dimension) or vectors.dtype != np.float32:
            raise NeighboursError(
                f"{path}: {vectors.dtype}{list(vectors.shape)}, "
                f"the manifest says float32[{len(rows)}, {dimension}]"
            )
        return cls(vectors, rows)

    def __len__(self) -> int:
        """Number of members."""
        return len(self._rows)

    def search(
        self, queries: NDArray[np.float32], k: int, hidden: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the index's rows and similarities, [q, k] each, best first, ties by row.

        Args:
            queries: of unit length, [q, d].
            k: members per query; -1 with similarity 0 where there are fewer.
            hidden: whether each row of the index was removed.
        """
        shown = np.ones(len(self), np.bool_) if hidden is None else ~hidden[self._rows]
        places, similarity = exact.search(self.vectors, shown, queries, k)
        # An empty shard has no row to look up.
        rows = self._rows[places] if len(self) else places
        return np.where(places >= 0, rows, -1), similarity
