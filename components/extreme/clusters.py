"""Nearest centroids by inverted lists: all of them (exact), or those of the nearest clusters."""

from pathlib import Path
from typing import Self

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.extreme import heap
from components.extreme.half import as_bits, dot, widen_rows
from components.extreme.threads import even_blocks, in_blocks

ROWS_WORTH_A_PRODUCT = 32
"""From this many rows on, rows and centroids are multiplied as matrices."""
EXACT_LIST = 1024
SAMPLE_PER_CLUSTER = 64
ROUNDS_OF_K_MEANS = 5


class ClusterIndex:
    """Centroids in half precision, list after list; a search compares the lists it probes."""

    def __init__(
        self,
        centroids: NDArray[np.float16],
        labels: NDArray[np.int32],
        offsets: NDArray[np.int64],
        centres: NDArray[np.float32],
        probes: int,
    ):
        """See `exact` and `build`.

        Args:
            centroids: unit vectors ordered by list, [m, d].
            labels: the label of each, [m].
            offsets: where each list begins, [c + 1].
            centres: unit vectors of the lists, [c, d]; none if every list is compared.
            probes: lists compared per row.
        """
        self._centroids, self._labels, self._offsets = centroids, labels, offsets
        self._centres, self._probes = centres, probes

    @classmethod
    def exact(cls, centroids: NDArray[np.float32], labels: NDArray[np.int32]) -> Self:
        """Compare every centroid."""
        count, dimension = centroids.shape
        offsets = np.append(np.arange(0, count, EXACT_LIST), count)
        nothing = np.zeros((0, dimension), np.float32)
        return cls(centroids.astype(np.float16), labels, offsets, nothing, len(offsets) - 1)

    @classmethod
    def build(
        cls,
        centroids: NDArray[np.float32],
        labels: NDArray[np.int32],
        *,
        clusters: int,
        probes: int,
        seed: int,
        threads: int | None = None,
    ) -> Self:
        """Group the centroids by spherical k-means, to compare those of the nearest clusters."""
        clusters = min(clusters, len(labels))
        centres = _k_means(centroids, clusters, seed, threads)
        cluster = _nearest(centroids, centres, threads)
        order = np.argsort(cluster, kind="stable")
        offsets = np.append(0, np.cumsum(np.bincount(cluster, minlength=clusters)))
        return cls(
            centroids[order].astype(np.float16),
            labels[order],
            offsets.astype(np.int64),
            centres,
            min(probes, clusters),
        )

    def search(
        self, x: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return labels int32 [n, k], nearest first, -1 padded, and cosines float32 [n, k]."""
        lists = len(self._offsets) - 1
        probes = min(lists, max(self._probes, -(-2 * k * lists // len(self._labels))))
        near, cosines = heap.empty(len(x), k)
        if len(x) >= ROWS_WORTH_A_PRODUCT:
            self._search_many(x, probes, near, cosines)
        else:
            _search_few(
                x,
                self._centres,
                probes,
                self._offsets,
                as_bits(self._centroids),
                self._labels,
                near,
                cosines,
            )
        return near, cosines

    def _search_many(self, x, probes, near, cosines) -> None:
        everyone = np.arange(len(x))
        if len(self._centres):
            probed, closeness = heap.empty(len(x), probes)
            lists = np.arange(len(self._centres), dtype=np.int32)
            heap.offer_block(probed, closeness, everyone, lists, x @ self._centres.T)
            order = np.argsort(probed.ravel(), kind="stable")
            bounds = np.searchsorted(probed.ravel()[order], np.arange(len(lists) + 1))
            visitors = order // probes
        longest = int(np.diff(self._offsets).max())
        wide = np.empty((longest, x.shape[1]), np.float32)
        for number, (start, stop) in enumerate(
            zip(self._offsets[:-1], self._offsets[1:], strict=True)
        ):
            rows, points = everyone, x
            if len(self._centres):
                rows = visitors[bounds[number] : bounds[number + 1]]
                points = x[rows]
            if len(rows) and stop > start:
                centroids = wide[: stop - start]
                widen_rows(as_bits(self._centroids[start:stop]), centroids)
                scores = points @ centroids.T
                heap.offer_block(near, cosines, rows, self._labels[start:stop], scores)
        heap.settle_rows(near, cosines)

    def save(self, directory: Path) -> None:
        """Write the index into an existing directory."""
        np.save(directory / "centroids.npy", self._centroids)
        np.save(directory / "indexed.npy", self._labels)
        np.save(directory / "offsets.npy", self._offsets)
        np.save(directory / "centres.npy", self._centres)

    @classmethod
    def load(cls, directory: Path, probes: int) -> Self:
        """Open a saved index by memory map."""
        centroids, indexed, offsets, centres = (
            np.load(directory / f"{name}.npy", mmap_mode="r")
            for name in ("centroids", "indexed", "offsets", "centres")
        )
        return cls(centroids, indexed, offsets, centres, probes=probes)


def _k_means(centroids, clusters: int, seed: int, threads: int | None) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    size = min(len(centroids), clusters * SAMPLE_PER_CLUSTER)
    sample = centroids[np.sort(random.choice(len(centroids), size, replace=False))]
    centres = sample[random.choice(size, clusters, replace=False)]
    for _ in range(ROUNDS_OF_K_MEANS):
        cluster = _nearest(sample, centres, threads)
        member = sp.csr_matrix(
            (np.ones(size, np.float32), (cluster, np.arange(size))), (clusters, size)
        )
        sums = np.asarray(member @ sample)
        norms = np.linalg.norm(sums, axis=1)
        lost = norms == 0
        sums[lost], norms[lost] = sample[random.choice(size, lost.sum())], 1
        centres = sums / norms[:, None]
    return np.ascontiguousarray(centres, dtype=np.float32)


def _nearest(vectors, centres, threads: int | None) -> NDArray[np.int64]:
    def nearest(rows: range) -> NDArray[np.int64]:
        return np.argmax(vectors[rows.start : rows.stop] @ centres.T, axis=1)

    blocks = even_blocks(len(vectors), parts=16, least=256, most=4096)
    return np.concatenate(list(in_blocks(nearest, blocks, threads)))


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _search_few(x, centres, probes, offsets, centroids, labels, near, cosines):
    lists = len(offsets) - 1
    for i in range(x.shape[0]):
        row = x[i]
        probed = np.arange(probes, dtype=np.int32)
        if centres.shape[0]:
            closeness = np.full(probes, -np.inf, dtype=np.float32)
            for c in range(lists):
                centre = centres[c]
                total = np.float32(0)
                for d in range(len(row)):
                    total += centre[d] * row[d]
                heap.offer(probed, closeness, np.int32(c), total)
        for c in probed:
            for j in range(offsets[c], offsets[c + 1]):
                heap.offer(near[i], cosines[i], labels[j], dot(centroids[j], row))
        heap.settle(near[i], cosines[i])
