"""Members in clusters of similar ones: heads in the nearest clusters, then the best in full.

Queries that look into the same cluster are compared with its heads in one matrix product, which on
batches is several times faster than walking a graph, and building takes seconds. How many clusters
to look into is measured while building, on the shard's own members.
"""

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import BaseModel

from components.neighbours import exact
from components.neighbours.config import NeighboursConfig
from components.neighbours.errors import NeighboursError
from components.neighbours.heads import heads_of, principal_axes
from components.neighbours.kernels import EVERYONE, Best, offer_block, offer_ranges

QUERIES_WORTH_A_PRODUCT = 16
"""From this many queries on, heads of a cluster and of its visitors are multiplied as matrices."""
SAMPLE_PER_CLUSTER = 64
ROUNDS_OF_K_MEANS = 8
CALIBRATED = (10, 100, 500)
"""Neighbours for which the effort is measured; for more, everything is compared."""
MEMBERS_PER_CALIBRATED = 8
"""A shard with fewer members than this per neighbour is not measured for so many."""
CALIBRATION_QUERIES = 256
SHORTLISTS = (1, 2, 4, 8)
"""Candidates compared in full, per neighbour, that are tried."""
SHORTLIST_LEAST = 10
"""Candidates compared in full, besides."""
TIE = 1e-6
WORTH = 0.5
"""Effort that pays, as a share of the multiplications of comparing everything."""
IN_FULL = 12
"""What a multiplication costs where a candidate is compared in full, one at a time."""


class Effort(BaseModel):
    """What a search for up to k neighbours takes."""

    k: int
    probes: int
    """Clusters looked into."""
    shortlist: int
    """Candidates compared in full."""


class ClusterIndex:
    """Heads of a shard, cluster after cluster.

    Attributes:
        efforts: measured, for growing k; empty if the wanted recall was not reached.
    """

    def __init__(self, content: "_Content", efforts: list[Effort]):
        """See `build`."""
        self._content, self.efforts = content, efforts

    @classmethod
    def build(cls, units: NDArray[np.float32], config: NeighboursConfig, *, seed: int) -> Self:
        """Cluster vectors and measure how many clusters a search has to look into.

        Args:
            units: of unit length, [m, d].
            config: how.
            seed: of the samples and first centres.
        """
        random = np.random.default_rng(seed)
        count, dimension = units.shape
        axes = principal_axes(units, min(config.head or dimension, dimension), random)
        heads = heads_of(units, axes)
        clusters = max(1, min(count, round(config.clusters_per_root * count**0.5)))
        centres = _k_means(heads, clusters, random)
        cluster = _nearest(heads, centres)
        order = np.argsort(cluster, kind="stable").astype(np.int32)
        offsets = np.append(0, np.cumsum(np.bincount(cluster, minlength=clusters)))
        index = cls(_Content(heads[order], order, offsets.astype(np.int64), centres, axes), [])
        index.efforts = index._calibrate(units, config.recall, random)
        return index

    def candidates(
        self, queries: NDArray[np.float32], shown: NDArray[np.bool_], k: int, width: int | None
    ) -> NDArray[np.int64] | None:
        """Return places worth comparing in full, -1 padded, int64[q, c].

        Args:
            queries: of unit length, [q, d].
            shown: whether each place may be found; EVERYONE if all may.
            k: neighbours wanted.
            width: clusters to look into; as many as were measured to be needed if None.

        Returns:
            None when so many neighbours are wanted that everything has to be compared.
        """
        effort = next((effort for effort in self.efforts if effort.k >= k), None)
        if effort is None:
            return None
        return self._look(queries, shown, width or effort.probes, effort.shortlist)

    @property
    def settings(self) -> dict[str, Any]:
        """What `load` needs to know besides the files."""
        return {"efforts": [effort.model_dump() for effort in self.efforts]}

    def save(self, path: Path) -> list[Path]:
        """Write the index beside a shard's vectors; return the files."""
        heads, lists = path.with_suffix(".heads.npy"), path.with_suffix(".lists.npz")
        small = self._content._asdict()
        np.save(heads, small.pop("heads"))
        np.savez(lists, **small)
        return [heads, lists]

    @classmethod
    def load(cls, path: Path, settings: dict[str, Any]) -> Self:
        """Map what `save` wrote beside a shard's vectors.

        Raises:
            NeighboursError: a file is damaged; names it.
        """
        heads, lists = path.with_suffix(".heads.npy"), path.with_suffix(".lists.npz")
        try:
            mapped = np.load(heads, mmap_mode="r")
            with np.load(lists) as small:
                efforts = [Effort(**effort) for effort in settings["efforts"]]
                return cls(_Content(heads=mapped, **small), efforts)
        except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
            raise NeighboursError(f"{heads}, {lists.name}: damaged: {error}") from error

    def _look(
        self, queries: NDArray[np.float32], shown: NDArray[np.bool_], probes: int, shortlist: int
    ) -> NDArray[np.int64]:
        content = self._content
        heads = queries @ content.axes
        clusters = len(content.centres)
        probes = min(probes, clusters)
        closeness = heads @ content.centres.T
        probed = np.argpartition(-closeness, probes - 1, axis=1)[:, :probes]
        best = Best(len(queries), shortlist)
        if len(queries) < QUERIES_WORTH_A_PRODUCT:
            ranges = (content.offsets, content.heads, content.order)
            offer_ranges(best, heads, probed, *ranges, shown)
            return best.places()
        visitors = np.argsort(probed, axis=None, kind="stable") // probes
        visits = np.bincount(probed.ravel(), minlength=clusters)
        ends = np.cumsum(visits)
        for cluster in np.flatnonzero(visits):
            rows = visitors[ends[cluster] - visits[cluster] : ends[cluster]]
            start, stop = content.offsets[cluster], content.offsets[cluster + 1]
            if stop > start:
                product = np.matmul(heads[rows], content.heads[start:stop].T, dtype=np.float32)
                offer_block(best, rows, start, content.order, shown, product)
        return best.places()

    def _calibrate(
        self, units: NDArray[np.float32], wanted: float, random: np.random.Generator
    ) -> list[Effort]:
        """Find the least effort for each k, on members who must not find themselves."""
        known = [k for k in CALIBRATED if k * MEMBERS_PER_CALIBRATED <= len(units)]
        size = min(len(units), CALIBRATION_QUERIES)
        sample = np.sort(random.choice(len(units), size, replace=False))
        queries = units[sample]
        nearest, similarity = exact.search(units, EVERYONE, queries, max(known, default=0) + 1)
        turns = self._turns(queries, nearest)
        efforts: list[Effort] = []
        for k in known:
            # Half of what may be missed is left for the shortlist to miss.
            probes = int(np.quantile(turns[:, 1 : k + 1], (1 + wanted) / 2, method="higher")) + 1
            for shortlist in SHORTLISTS:
                effort = Effort(k=k, probes=probes, shortlist=shortlist * k + SHORTLIST_LEAST)
                if self._cost(effort, units.shape[1]) > WORTH * units.size:
                    return efforts
                candidates = self._look(queries, EVERYONE, effort.probes, effort.shortlist)
                candidates[candidates == sample[:, None]] = -1
                places, found = exact.best_of(units, queries, candidates, k)
                if ((found >= similarity[:, k : k + 1] - TIE) & (places >= 0)).mean() >= wanted:
                    efforts.append(effort)
                    break
            else:
                return efforts
        return efforts

    def _cost(self, effort: Effort, dimension: int) -> float:
        share = effort.probes / len(self._content.centres)
        return share * self._content.heads.size + IN_FULL * effort.shortlist * dimension

    def _turns(self, queries: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many clusters a search looks into before that of each place, [q, k]."""
        content = self._content
        cluster = np.empty(len(content.order), np.int64)
        cluster[content.order] = np.repeat(
            np.arange(len(content.centres)), np.diff(content.offsets)
        )
        closeness = queries @ content.axes @ content.centres.T
        turn = np.argsort(np.argsort(-closeness, axis=1), axis=1)
        return np.take_along_axis(turn, cluster[places], axis=1)


class _Content(NamedTuple):
    heads: NDArray[np.float32]  # [m, h], in the order of clusters
    order: NDArray[np.int32]  # place of each
    offsets: NDArray[np.int64]  # where each cluster begins, [c + 1]
    centres: NDArray[np.float32]  # unit vectors, [c, h]
    axes: NDArray[np.float32]  # [d, h]


def _k_means(
    heads: NDArray[np.float32], clusters: int, random: np.random.Generator
) -> NDArray[np.float32]:
    size = min(len(heads), clusters * SAMPLE_PER_CLUSTER)
    sample = heads[np.sort(random.choice(len(heads), size, replace=False))]
    centres = _unit(sample[random.choice(size, clusters, replace=False)])
    for _ in range(ROUNDS_OF_K_MEANS):
        cluster = _nearest(sample, centres)
        ones = np.ones(size, np.float32)
        member = sp.csr_matrix((ones, (cluster, np.arange(size))), (clusters, size))
        sums = np.asarray(member @ sample)
        lost = np.bincount(cluster, minlength=clusters) == 0
        sums[lost] = sample[random.choice(size, lost.sum())]
        centres = _unit(sums)
    return centres


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _nearest(heads: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    blocks = range(0, len(heads), 4096)
    return np.concatenate([np.argmax(heads[b : b + 4096] @ centres.T, axis=1) for b in blocks])
