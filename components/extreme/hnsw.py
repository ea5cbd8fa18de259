"""Nearest centroids through a faiss HNSW graph: the paper's index."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from components.extreme.threads import hold_faiss


class HnswIndex:
    """A graph over the label centroids."""

    FILE = "index.faiss"

    def __init__(self, graph: Any, labels: NDArray[np.int32]):
        """See `build`."""
        self._graph, self._labels = graph, labels

    @classmethod
    def build(
        cls,
        centroids: NDArray[np.float32],
        labels: NDArray[np.int32],
        *,
        links: int,
        build_width: int,
        search_width: int,
    ) -> Self:
        """Insert every centroid, one by one: on several threads the graph would differ each time.

        Args:
            centroids: unit vectors, [m, d].
            labels: the label of each, [m].
            links: the paper's M.
            build_width: the paper's efConstruction.
            search_width: the paper's efSearch.
        """
        import faiss

        graph: Any = faiss.IndexHNSWFlat(centroids.shape[1], links, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = build_width
        graph.hnsw.efSearch = search_width
        with hold_faiss():
            graph.add(centroids)
        return cls(graph, labels)

    def search(
        self, x: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return labels int32 [n, k], nearest first, -1 padded, and cosines float32 [n, k]."""
        import faiss

        faiss_module: Any = faiss
        width = max(self._graph.hnsw.efSearch, k)
        parameters = faiss_module.SearchParametersHNSW(efSearch=width)
        with hold_faiss():
            cosines, near = self._graph.search(x, k, params=parameters)
        found = near >= 0
        return (
            np.where(found, self._labels[near], -1).astype(np.int32),
            np.where(found, cosines, 0).astype(np.float32),
        )

    def save(self, directory: Path) -> None:
        """Write the index into an existing directory."""
        import faiss

        faiss.write_index(self._graph, str(directory / self.FILE))
        np.save(directory / "indexed.npy", self._labels)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Open a saved index by memory map."""
        import faiss

        graph = faiss.read_index(str(directory / cls.FILE), faiss.IO_FLAG_MMAP_IFC)
        return cls(graph, np.load(directory / "indexed.npy", mmap_mode="r"))
