"""A faiss HNSW graph over a shard: the paper's index."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from components.extreme.threads import hold_faiss
from components.neighbours.config import NeighboursConfig
from components.neighbours.errors import NeighboursError
from components.neighbours.heads import heads_of, principal_axes

INSERTED_AT_ONCE = 16_384
SHORTLIST, SHORTLIST_LEAST = 2, 30
"""Candidates compared in full where the graph is over heads: per neighbour, and besides."""


class HnswIndex:
    """A graph whose search keeps the best `width` it has met.

    Attributes:
        width: when a search does not say; the paper's efSearch.
    """

    def __init__(self, graph: Any, axes: NDArray[np.float32] | None, width: int):
        """See `build`."""
        self._graph, self._axes, self.width = graph, axes, width

    @classmethod
    def build(cls, units: NDArray[np.float32], config: NeighboursConfig, *, seed: int) -> Self:
        """Insert every vector, one by one: on several threads the graph would differ each time.

        Args:
            units: of unit length, [m, d].
            config: how.
            seed: of the sample that the axes are made from.
        """
        import faiss

        axes = None
        if config.head and config.head < units.shape[1]:
            axes = principal_axes(units, config.head, np.random.default_rng(seed))
        size = units.shape[1] if axes is None else axes.shape[1]
        graph: Any = faiss.IndexHNSWFlat(size, config.hnsw_links, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = config.hnsw_build_width
        with hold_faiss():
            for start in range(0, len(units), INSERTED_AT_ONCE):
                block = np.ascontiguousarray(units[start : start + INSERTED_AT_ONCE])
                graph.add(block if axes is None else heads_of(block, axes))
        return cls(graph, axes, config.hnsw_search_width)

    def candidates(
        self, queries: NDArray[np.float32], shown: NDArray[np.bool_], k: int, width: int | None
    ) -> NDArray[np.int64]:
        """Return places worth comparing in full, -1 padded, int64[q, c] with c >= k.

        Args:
            queries: of unit length, [q, d].
            shown: whether each place may be found; EVERYONE if all may.
            k: neighbours wanted.
            width: candidates kept during the search; the index's own if None.
        """
        import faiss

        module: Any = faiss
        width = max(width or self.width, k)
        wanted = k if self._axes is None else min(width, SHORTLIST * k + SHORTLIST_LEAST)
        bits = np.packbits(shown, bitorder="little")  # faiss reads it without holding it
        selector = module.IDSelectorBitmap(bits) if len(shown) else None
        parameters = module.SearchParametersHNSW(efSearch=width, sel=selector)
        compared = np.ascontiguousarray(queries if self._axes is None else queries @ self._axes)
        with hold_faiss():
            return self._graph.search(compared, wanted, params=parameters)[1]

    @property
    def settings(self) -> dict[str, Any]:
        """What `load` needs to know besides the files."""
        return {"width": self.width}

    def save(self, path: Path) -> list[Path]:
        """Write the index beside a shard's vectors; return the files."""
        import faiss

        files = [path.with_suffix(".faiss")]
        faiss.write_index(self._graph, str(files[0]))
        if self._axes is not None:
            files.append(path.with_suffix(".axes.npy"))
            np.save(files[1], self._axes)
        return files

    @classmethod
    def load(cls, path: Path, settings: dict[str, Any]) -> Self:
        """Map what `save` wrote beside a shard's vectors.

        Raises:
            NeighboursError: a file is damaged; names it.
        """
        import faiss

        graph, axes = path.with_suffix(".faiss"), path.with_suffix(".axes.npy")
        try:
            mapped = faiss.read_index(str(graph), faiss.IO_FLAG_MMAP_IFC)
            return cls(mapped, np.load(axes) if axes.exists() else None, settings["width"])
        except (OSError, ValueError, EOFError, KeyError, RuntimeError) as error:
            raise NeighboursError(f"{graph}: damaged: {error}") from error
