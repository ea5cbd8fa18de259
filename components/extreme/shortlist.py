"""The labels whose centroids lie nearest to a vector: exactly, or through an HNSW graph."""

from pathlib import Path
from typing import Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from components.extreme.config import SliceConfig

ROWS_AT_ONCE = 256


class Index(Protocol):
    """Finds the nearest label centroids by cosine."""

    def search(
        self, x: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return labels int32 [n, k] and cosines float32 [n, k], nearest first; label -1 pads."""

    def save(self, directory: Path) -> None:
        """Write the index into an existing directory."""


def build_index(
    centroids: NDArray[np.float32], labels: NDArray[np.int32], config: SliceConfig
) -> Index:
    """Build the index that the configuration asks for.

    Args:
        centroids: unit vectors, float32 [m, d].
        labels: the label of each centroid, int32 [m].
        config: which index, and its settings.
    """
    kind = config.index
    if kind == "auto":
        kind = "exact" if len(labels) <= config.exact_labels else "hnsw"
    if kind == "exact":
        return ExactIndex(centroids, labels)
    return HnswIndex.build(centroids, labels, config)


def load_index(directory: Path) -> Index:
    """Open a saved index by memory map."""
    if (directory / HnswIndex.FILE).exists():
        return HnswIndex.load(directory)
    return ExactIndex.load(directory)


class ExactIndex:
    """Every centroid is compared."""

    def __init__(self, centroids: NDArray[np.float32], labels: NDArray[np.int32]):
        self._centroids, self._labels = centroids, labels

    def search(
        self, x: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return labels int32 [n, k] and cosines float32 [n, k], nearest first; label -1 pads."""
        near = np.full((len(x), k), -1, np.int32)
        cosines = np.zeros((len(x), k), np.float32)
        width = min(k, len(self._labels))
        for start in range(0, len(x), ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            _largest(x[block] @ self._centroids.T, width, self._labels, near[block], cosines[block])
        return near, cosines

    def save(self, directory: Path) -> None:
        """Write the index into an existing directory."""
        np.save(directory / "centroids.npy", self._centroids)
        np.save(directory / "indexed.npy", self._labels)

    @classmethod
    def load(cls, directory: Path) -> "ExactIndex":
        """Open a saved index by memory map."""
        return cls(
            np.load(directory / "centroids.npy", mmap_mode="r"),
            np.load(directory / "indexed.npy", mmap_mode="r"),
        )


class HnswIndex:
    """A faiss HNSW graph over the centroids."""

    FILE = "index.faiss"

    def __init__(self, graph, labels: NDArray[np.int32], search_width: int):
        self._graph, self._labels, self._width = graph, labels, search_width

    @classmethod
    def build(
        cls, centroids: NDArray[np.float32], labels: NDArray[np.int32], config: SliceConfig
    ) -> "HnswIndex":
        """Insert every centroid."""
        import faiss

        graph = faiss.IndexHNSWFlat(
            centroids.shape[1], config.hnsw_links, faiss.METRIC_INNER_PRODUCT
        )
        graph.hnsw.efConstruction = config.hnsw_build_width
        graph.hnsw.efSearch = config.hnsw_search_width
        graph.add(centroids)
        return cls(graph, labels, config.hnsw_search_width)

    def search(
        self, x: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return labels int32 [n, k] and cosines float32 [n, k], nearest first; label -1 pads."""
        import faiss

        width = faiss.SearchParametersHNSW(efSearch=max(self._width, k))
        cosines, near = self._graph.search(x, k, params=width)
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
    def load(cls, directory: Path) -> "HnswIndex":
        """Open a saved index by memory map."""
        import faiss

        graph = faiss.read_index(str(directory / cls.FILE), faiss.IO_FLAG_MMAP)
        labels = np.load(directory / "indexed.npy", mmap_mode="r")
        return cls(graph, labels, graph.hnsw.efSearch)


@numba.njit(nogil=True, cache=True)
def _largest(scores, k, labels, near, cosines):
    """Write each row's k largest scores, largest first; of equal ones the lower column wins."""
    columns = scores.shape[1]
    kept = np.empty(k, np.int64)
    for i in range(scores.shape[0]):
        row = scores[i]
        count = 0
        for j in range(columns):
            if count == k and row[j] <= row[kept[0]]:
                continue
            if count < k:
                position = count
                count += 1
                while position > 0:
                    parent = (position - 1) >> 1
                    if row[kept[parent]] < row[j]:
                        break
                    kept[position] = kept[parent]
                    position = parent
                kept[position] = j
            else:
                _sift_down(row, kept, k, j)
        for end in range(count - 1, -1, -1):
            near[i, end] = labels[kept[0]]
            cosines[i, end] = row[kept[0]]
            _sift_down(row, kept, end, kept[end])


@numba.njit(nogil=True, cache=True, inline="always")
def _sift_down(row, kept, size, item):
    """Replace the root of a min-heap of `size` columns by `item`."""
    position = 0
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and row[kept[child + 1]] < row[kept[child]]:
            child += 1
        if row[kept[child]] >= row[item]:
            break
        kept[position] = kept[child]
        position = child
    if size > 0:
        kept[position] = item
