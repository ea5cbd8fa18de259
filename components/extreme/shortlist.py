"""Shortlists: the labels whose centroids lie nearest to a vector, by one of three indexes.

`exact` compares every centroid; `clusters` those of the nearest clusters, many rows at a time,
which is what makes it cheap; `hnsw` walks a faiss graph.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.extreme.clusters import ClusterIndex
from components.extreme.config import SliceConfig
from components.extreme.hnsw import HnswIndex
from components.extreme.inputs import Lists
from components.extreme.threads import even_blocks, in_blocks

Found = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Labels int32 [n, k], nearest first, -1 where there are fewer; and their cosines float32."""


class Index(Protocol):
    """Finds the nearest label centroids by cosine."""

    def search(self, x: NDArray[np.float32], k: int) -> Found:
        """Search for every unit row, on the calling thread."""

    def save(self, directory: Path) -> None:
        """Write the index into an existing directory."""


def build_index(
    centroids: NDArray[np.float32],
    labels: NDArray[np.int32],
    config: SliceConfig,
    *,
    seed: int,
    threads: int | None = None,
) -> Index:
    """Build the index that the configuration asks for.

    Args:
        centroids: unit vectors, float32 [m, d].
        labels: the label of each centroid, int32 [m].
        config: which index, and its settings.
        seed: of the clusters' first centres.
        threads: threads to build on.
    """
    kind = config.index
    if kind == "auto":
        kind = "exact" if len(labels) <= config.exact_labels else "clusters"
    if kind == "exact":
        return ClusterIndex.exact(centroids, labels)
    if kind == "clusters":
        return ClusterIndex.build(
            centroids,
            labels,
            clusters=int(config.clusters_per_root * len(labels) ** 0.5) + 1,
            probes=config.probes,
            seed=seed,
            threads=threads,
        )
    return HnswIndex.build(
        centroids,
        labels,
        links=config.hnsw_links,
        build_width=config.hnsw_build_width,
        search_width=config.hnsw_search_width,
    )


def load_index(directory: Path, config: SliceConfig) -> Index:
    """Open a saved index by memory map."""
    if (directory / HnswIndex.FILE).exists():
        return HnswIndex.load(directory)
    return ClusterIndex.load(directory, config.probes)


def search_blocks(
    index: Index,
    x: NDArray[np.float32],
    k: int,
    *,
    threads: int | None = None,
    done: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.int32]:
    """Search for many unit rows on several threads; `done` is told of rows as they are finished.

    Returns:
        Labels int32 [n, k] as `Index.search`.
    """
    near = np.empty((len(x), k), np.int32)
    blocks = even_blocks(len(x), parts=16, least=256, most=8192)

    def search(rows: range) -> int:
        near[rows.start : rows.stop], _ = index.search(x[rows.start : rows.stop], k)
        return len(rows)

    for rows in in_blocks(search, blocks, threads):
        done(rows)
    return near


def hard_negatives(near: NDArray[np.int32], y: sp.csr_matrix) -> Lists:
    """Return, label by label, the rows whose shortlist has the label although y does not.

    Args:
        near: shortlists int32 [n, k], -1 padded.
        y: labels of the points, with sorted columns, [n, L].
    """
    sizes = np.zeros(y.shape[1], np.int64)
    _count_negatives(near, y.indptr, y.indices, sizes)
    offsets = np.append(0, np.cumsum(sizes))
    rows = np.empty(offsets[-1], np.int32)
    _place_negatives(near, y.indptr, y.indices, offsets[:-1].copy(), rows)
    return offsets, rows


@numba.njit(nogil=True, cache=True)
def _count_negatives(near, offsets, labels, sizes):
    for i in range(near.shape[0]):
        own = labels[offsets[i] : offsets[i + 1]]
        for label in near[i]:
            if label >= 0 and not holds(own, label):
                sizes[label] += 1


@numba.njit(nogil=True, cache=True)
def _place_negatives(near, offsets, labels, ends, rows):
    for i in range(near.shape[0]):
        own = labels[offsets[i] : offsets[i + 1]]
        for label in near[i]:
            if label >= 0 and not holds(own, label):
                rows[ends[label]] = i
                ends[label] += 1


@numba.njit(nogil=True, cache=True)
def holds(ascending, value):
    """Whether a sorted array holds a value."""
    place = np.searchsorted(ascending, value)
    return place < len(ascending) and ascending[place] == value
