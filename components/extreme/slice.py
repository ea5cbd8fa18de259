"""Slice: one linear classifier per label, told from its hardest negatives; also usable alone.

>>> import numpy as np, scipy.sparse as sp
>>> from components.extreme.config import SliceConfig
>>> x = np.eye(4, dtype=np.float32).repeat(5, axis=0)  # 20 points in 4 groups ...
>>> y = sp.csr_matrix(x > 0)  # ... and one label for each group
>>> model = train_slice(x, y, SliceConfig(), seed=1)
>>> labels, scores = model.predict(np.eye(4, dtype=np.float32), 1)
>>> labels.ravel().tolist()
[0, 1, 2, 3]

Source: Jain et al., Slice: Scalable Linear Extreme Classifiers, WSDM 2019; paper, section 4.1.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.extreme.config import SliceConfig
from components.extreme.dual import train_weights
from components.extreme.errors import ExtremeError
from components.extreme.shortlist import Index, build_index, load_index
from components.files import whole_directory
from components.progress import progress

LABELS_AT_ONCE = 512


def train_slice(
    x: NDArray[np.float32],
    y: sp.csr_matrix,
    config: SliceConfig,
    *,
    seed: int,
    threads: int | None = None,
) -> "Slice":
    """Train Slice on dense points and their labels.

    Args:
        x: points, float32 [n, d]; only their direction counts.
        y: labels of the points, sparse [n, L]; every stored non-zero is a label.
        config: shortlist, index and solver settings.
        seed: fixes the order in which points are visited; the result is the same on any number
            of threads.
        threads: threads to train on; all cores by default.

    Raises:
        ExtremeError: x and y do not fit each other, or a row cannot be used.
    """
    x = _unit_rows(x, "x")
    y = _binary(y, len(x))
    centroids = _unit_rows(np.asarray(y.T.tocsr() @ x, dtype=np.float32), "centroids")
    trained = np.flatnonzero(np.diff(y.tocsc().indptr)).astype(np.int32)
    index = build_index(centroids[trained], trained, config)
    near, _ = index.search(x, min(config.neighbours, len(trained)))
    positives, negatives = _by_label(y), _by_label(_hard_negatives(near, y))
    weights = np.zeros((y.shape[1], x.shape[1]), np.dtype(config.weights))
    biases = np.zeros(y.shape[1], np.float32)

    def train(labels: range) -> None:
        block, bias = train_weights(
            x,
            positives,
            negatives,
            labels=labels,
            cost=config.cost,
            rounds=config.rounds,
            tolerance=config.tolerance,
            seed=seed,
        )
        block[np.abs(block) < config.weight_threshold] = 0
        weights[labels.start : labels.stop], biases[labels.start : labels.stop] = block, bias

    blocks = [
        range(start, min(start + LABELS_AT_ONCE, y.shape[1]))
        for start in range(0, y.shape[1], LABELS_AT_ONCE)
    ]
    with (
        progress("Slice classifiers", total=y.shape[1]) as bar,
        ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool,
    ):
        for labels, _ in zip(blocks, pool.map(train, blocks), strict=True):
            bar.advance(len(labels))
    norms = np.sqrt(np.einsum("ld,ld->l", weights, weights, dtype=np.float32) + biases**2)
    return Slice(index, weights, biases, float(norms[trained].mean()), config)


class Slice:
    """A trained model: an index over label centroids, and a classifier per label."""

    def __init__(
        self,
        index: Index,
        weights: NDArray[np.floating],
        biases: NDArray[np.float32],
        gamma: float,
        config: SliceConfig,
    ):
        self._index, self._weights, self._biases = index, weights, biases
        self.gamma, self.config = gamma, config

    @property
    def labels(self) -> int:
        """Number of labels."""
        return self._weights.shape[0]

    @property
    def dimension(self) -> int:
        """Length of a point's vector."""
        return self._weights.shape[1]

    def predict(
        self, x: NDArray[np.float32], k: int, *, exclude: sp.csr_matrix | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Rank the labels of each point's shortlist by sigma(w.x) + sigma(gamma cos).

        Args:
            x: points, float32 [n, d]; only their direction counts.
            k: labels to return per point.
            exclude: sparse [n, L]; labels not to return, such as past queries.

        Returns:
            Labels int32 [n, k], best first, -1 where there are fewer, and scores float32 [n, k]
            between 0 and 2, 0 for a missing label.

        Raises:
            ExtremeError: a shape does not fit, a row is not finite, or k is out of range.
        """
        x = _unit_rows(x, "x", self.dimension)
        if not 1 <= k <= self.labels:
            raise ExtremeError(f"k={k} must lie between 1 and the number of labels, {self.labels}")
        skip = _exclusions(exclude, (len(x), self.labels))
        keep = max(self.config.neighbours, k)
        widest = int(np.diff(skip[0]).max(initial=0))
        near, cosines = self._index.search(x, min(keep + widest, self.labels))
        labels = np.full((len(x), k), -1, np.int32)
        scores = np.zeros((len(x), k), np.float32)
        weights = self._weights[near].astype(np.float32)
        _rank(x, near, cosines, weights, self._biases, self.gamma, *skip, keep, labels, scores)
        return labels, scores

    def save(self, directory: Path) -> None:
        """Write the model to a directory, whole or not at all."""
        with whole_directory(directory) as target:
            self._index.save(target)
            np.save(target / "weights.npy", self._weights)
            np.save(target / "biases.npy", self._biases)
            about = {"gamma": self.gamma, "config": self.config.model_dump()}
            (target / "slice.json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, directory: Path) -> "Slice":
        """Open a saved model by memory map."""
        try:
            about = json.loads((directory / "slice.json").read_text())
        except FileNotFoundError:
            raise ExtremeError(f"{directory} holds no Slice model: slice.json is missing") from None
        return cls(
            load_index(directory),
            np.load(directory / "weights.npy", mmap_mode="r"),
            np.load(directory / "biases.npy", mmap_mode="r"),
            about["gamma"],
            SliceConfig(**about["config"]),
        )


def _unit_rows(x, name: str, dimension: int | None = None) -> NDArray[np.float32]:
    if x.ndim != 2 or (dimension is not None and x.shape[1] != dimension):
        expected = f"[n, {'d' if dimension is None else dimension}]"
        raise ExtremeError(f"{name} must have shape {expected}, not {list(x.shape)}")
    x = np.asarray(x, np.float32)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms.ravel()))
    if len(bad):
        raise ExtremeError(f"row {bad[0]} of {name} holds NaN or infinite values")
    return x / np.where(norms > 0, norms, 1)


def _binary(y: sp.csr_matrix, points: int) -> sp.csr_matrix:
    if y.shape[0] != points:
        raise ExtremeError(f"y has {y.shape[0]} rows, x has {points}")
    y = sp.csr_matrix(y, copy=True)
    y.eliminate_zeros()
    if y.nnz == 0:
        raise ExtremeError("y holds no label at all")
    y.sum_duplicates()
    y.data = np.ones(y.nnz, np.float32)
    return y


def _hard_negatives(near: NDArray[np.int32], y: sp.csr_matrix) -> sp.csr_matrix:
    offsets = np.arange(0, near.size + 1, near.shape[1])
    shortlist = sp.csr_matrix((np.ones(near.size, np.float32), near.ravel(), offsets), y.shape)
    negatives = shortlist - shortlist.multiply(y)
    negatives.eliminate_zeros()
    return negatives.tocsr()


def _by_label(matrix: sp.csr_matrix) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    columns = matrix.tocsc()
    return columns.indptr.astype(np.int64), columns.indices.astype(np.int32)


def _exclusions(
    exclude: sp.csr_matrix | None, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    if exclude is None:
        return np.zeros(shape[0] + 1, np.int64), np.zeros(0, np.int32)
    if exclude.shape != shape:
        raise ExtremeError(f"exclude must have shape {list(shape)}, not {list(exclude.shape)}")
    exclude = sp.csr_matrix(exclude)
    return exclude.indptr.astype(np.int64), exclude.indices.astype(np.int32)


@numba.njit(nogil=True, cache=True, fastmath=True)
def _rank(
    x, near, cosines, weights, biases, gamma, skip_offsets, skip_labels, keep, labels, scores
):
    for i in range(x.shape[0]):
        skip = skip_offsets[i], skip_offsets[i + 1]
        kept = 0
        filled = 0
        for j in range(near.shape[1]):
            label = near[i, j]
            if label < 0 or kept == keep:
                break
            skipped = False
            for s in range(skip[0], skip[1]):
                skipped |= skip_labels[s] == label
            if skipped:
                continue
            kept += 1
            margin = biases[label]
            for d in range(x.shape[1]):
                margin += weights[i, j, d] * x[i, d]
            score = np.float32(1 / (1 + np.exp(-margin)) + 1 / (1 + np.exp(-gamma * cosines[i, j])))
            position = filled
            while position > 0 and scores[i, position - 1] < score:
                position -= 1
            if position == labels.shape[1]:
                continue
            filled = min(filled + 1, labels.shape[1])
            for p in range(filled - 1, position, -1):
                labels[i, p], scores[i, p] = labels[i, p - 1], scores[i, p - 1]
            labels[i, position], scores[i, position] = label, score
