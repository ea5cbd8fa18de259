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
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.extreme.checkpoint import Checkpoint, fingerprint
from components.extreme.config import SliceConfig
from components.extreme.dual import Solver, train_weights
from components.extreme.errors import ExtremeError
from components.extreme.half import as_bits
from components.extreme.inputs import by_label, exclusions, label_matrix, unit_rows
from components.extreme.rank import rank
from components.extreme.shortlist import (
    Index,
    build_index,
    hard_negatives,
    load_index,
    search_blocks,
)
from components.extreme.threads import even_blocks, in_blocks
from components.files import whole_directory
from components.progress import progress

FORMAT = 1


def train_slice(
    x: NDArray[np.float32],
    y: sp.csr_matrix,
    config: SliceConfig,
    *,
    seed: int,
    labels: range | None = None,
    threads: int | None = None,
    checkpoint: Path | None = None,
) -> "Slice":
    """Train Slice on dense points and their labels.

    Args:
        x: points, float32 [n, d]; only their direction counts.
        y: labels of the points, sparse [n, L]; every stored non-zero is a label.
        config: shortlist, index and solver settings.
        seed: fixes everything drawn at random; the result is the same on any number of threads.
        labels: train the classifiers of this range only; `Slice.join` puts parts together.
        threads: threads to train on; all cores by default.
        checkpoint: directory that keeps finished work, so that a killed run can be repeated and
            ends with the same model; the caller removes it. Parts need one each.

    Raises:
        ExtremeError: x, y and labels do not fit each other, or a row cannot be used.
    """
    x = unit_rows(x, "x")
    y = label_matrix(y, len(x))
    labels = _label_range(labels, y.shape[1])
    kept = Checkpoint(checkpoint, "" if checkpoint is None else fingerprint(x, y, config, seed))

    positives = by_label(y)
    known = np.flatnonzero(np.diff(positives[0])).astype(np.int32)
    centroids = unit_rows(np.asarray(y.T.tocsr()[known] @ x), "centroids")
    index = build_index(centroids, known, config, seed=seed, threads=threads)
    near = kept.load("shortlist")
    if near is None:
        with progress("Slice shortlist", total=len(x)) as bar:
            width = min(config.neighbours, len(known))
            near = search_blocks(index, x, width, threads=threads, done=bar.advance)
        kept.store("shortlist", near)
    negatives = hard_negatives(near, y)
    solver = Solver(
        cost=config.cost,
        rounds=config.rounds,
        tolerance=config.tolerance,
        random_negatives=max(config.random_negatives, config.random_negatives_total // len(known)),
        negatives_per_positive=config.negatives_per_positive,
    )
    weights = np.zeros((len(labels), x.shape[1]), np.float16)
    biases = np.zeros(len(labels), np.float32)

    def train(block: range) -> int:
        name = f"weights-{labels[block.start]:09d}-{len(block):09d}"
        trained = kept.load(name)
        if trained is None:
            w, bias = train_weights(
                x,
                positives,
                negatives,
                labels=labels[block.start : block.stop],
                solver=solver,
                seed=seed,
            )
            w[np.abs(w) < config.weight_threshold] = 0
            trained = np.column_stack((w, bias))
            kept.store(name, trained)
        weights[block.start : block.stop] = trained[:, :-1]
        biases[block.start : block.stop] = trained[:, -1]
        return len(block)

    blocks = even_blocks(len(labels), parts=64, least=16, most=1024)
    with progress("Slice classifiers", total=len(labels)) as bar:
        for finished in in_blocks(train, blocks, threads):
            bar.advance(finished)
    return Slice(index, weights, biases, config, labels=labels, label_count=y.shape[1])


class Slice:
    """A trained model, or the part of one that holds a range of its labels."""

    def __init__(
        self,
        index: Index,
        weights: NDArray[np.float16],
        biases: NDArray[np.float32],
        config: SliceConfig,
        *,
        labels: range,
        label_count: int,
        gamma: float | None = None,
    ):
        """See `train_slice` and `Slice.load`.

        Args:
            index: over the centroids of all labels.
            weights: of the classifiers held, float16 [len(labels), d].
            biases: likewise, float32 [len(labels)].
            config: what the model was trained with.
            labels: which labels the classifiers belong to.
            label_count: labels in all.
            gamma: scale of the cosine; from the weights when not given.
        """
        self._index, self._weights, self._biases = index, weights, biases
        self.config, self.labels, self.label_count = config, labels, label_count
        if gamma is None:
            gamma = config.similarity_scale * _mean_norm(weights, biases)
        self.gamma = gamma

    @property
    def dimension(self) -> int:
        """Length of a point's vector."""
        return self._weights.shape[1]

    def predict(
        self,
        x: NDArray[np.float32],
        k: int,
        *,
        exclude: sp.csr_matrix | None = None,
        threads: int | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Rank the labels of each point's shortlist by sigma(w.x) + sigma(gamma cos).

        Args:
            x: points, float32 [n, d]; only their direction counts.
            k: labels to return per point. Those beyond the shortlist's length follow by cosine.
            exclude: sparse [n, L]; stored entries are labels not to return, such as past queries;
                the next labels take their places on the shortlist.
            threads: threads to use for many points; all cores by default.

        Returns:
            Labels int32 [n, k], best first, -1 where there are fewer, and scores float32 [n, k]
            between 0 and 2, 0 for a missing label.

        Raises:
            ExtremeError: a shape does not fit, a row is not finite, k is out of range, or the model
                is only a part.
        """
        if len(self.labels) != self.label_count:
            raise ExtremeError(
                f"this part holds labels {self.labels.start} to {self.labels.stop - 1} of "
                f"{self.label_count}; join all parts before predicting"
            )
        if not 1 <= k <= self.label_count:
            raise ExtremeError(f"k={k} must lie between 1 and the {self.label_count} labels")
        x = unit_rows(x, "x", self.dimension)
        skip, skipped = exclusions(exclude, (len(x), self.label_count))
        labels = np.full((len(x), k), -1, np.int32)
        scores = np.zeros((len(x), k), np.float32)
        told_apart = self._scored_labels()
        weights = as_bits(self._weights)

        def predict(block: range) -> None:
            rows = slice(block.start, block.stop)
            offsets = skip[block.start : block.stop + 1]
            width = max(told_apart, k) + int(np.diff(offsets).max(initial=0))
            near, cosines = self._index.search(x[rows], min(width, self.label_count))
            rank(
                x[rows],
                near,
                cosines,
                weights,
                self._biases,
                np.float32(self.gamma),
                told_apart,
                offsets,
                skipped,
                labels[rows],
                scores[rows],
            )

        if len(x) == 1:
            predict(range(1))
        else:
            blocks = even_blocks(len(x), parts=16, least=256, most=8192)
            for _ in in_blocks(predict, blocks, threads):
                pass
        return labels, scores

    def _scored_labels(self) -> int:
        """Length of the shortlist: all labels where they are few enough to be compared exactly.

        Random negatives make every classifier's scores comparable everywhere, so more than the
        training's shortlist may be scored; beyond a few thousand labels it would only cost time.
        """
        exhaustive = self.label_count <= self.config.exact_labels
        return self.label_count if exhaustive else self.config.neighbours

    def save(self, directory: Path) -> None:
        """Write the model to a directory, whole or not at all."""
        with whole_directory(directory) as target:
            self._index.save(target)
            np.save(target / "weights.npy", self._weights)
            np.save(target / "biases.npy", self._biases)
            about = {
                "format": FORMAT,
                "gamma": self.gamma,
                "labels": [self.labels.start, self.labels.stop],
                "label_count": self.label_count,
                "config": self.config.model_dump(),
            }
            (target / "slice.json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Open a saved model by memory map.

        Raises:
            ExtremeError: there is no model in the directory, or one of its files is damaged.
        """
        path = directory / "slice.json"
        try:
            about = json.loads(path.read_text())
            if about["format"] != FORMAT:
                raise ExtremeError(f"{path}: format {about['format']} is not {FORMAT}; train again")
            config = SliceConfig(**about["config"])
            labels = range(*about["labels"])
            path = directory
            index = load_index(directory, config)
            path = directory / "weights.npy"
            weights = np.load(path, mmap_mode="r")
            path = directory / "biases.npy"
            biases = np.load(path, mmap_mode="r")
        except FileNotFoundError as error:
            raise ExtremeError(
                f"{directory}: holds no Slice model, {error.filename} is missing"
            ) from error
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ExtremeError(f"{path}: damaged Slice model: {error}") from error
        return cls(
            index,
            weights,
            biases,
            config,
            labels=labels,
            label_count=about["label_count"],
            gamma=about["gamma"],
        )

    @classmethod
    def join(cls, parts: Sequence["Slice"]) -> Self:
        """Put parts trained on ranges of labels together; the model of one piece is the same.

        Raises:
            ExtremeError: the parts leave a label out, overlap, or were trained differently.
        """
        parts = sorted(parts, key=lambda part: part.labels.start)
        whole = parts[0]
        expected = 0
        for part in parts:
            if (part.config, part.label_count) != (whole.config, whole.label_count):
                raise ExtremeError("parts were trained with other settings or other labels")
            if part.labels.start != expected:
                raise ExtremeError(
                    f"a part must begin at label {expected}, not {part.labels.start}"
                )
            expected = part.labels.stop
        if expected != whole.label_count:
            raise ExtremeError(f"labels {expected} to {whole.label_count - 1} have no part")
        return cls(
            whole._index,
            np.concatenate([part._weights for part in parts]),
            np.concatenate([part._biases for part in parts]),
            whole.config,
            labels=range(whole.label_count),
            label_count=whole.label_count,
        )


def _label_range(labels: range | None, count: int) -> range:
    if labels is None:
        return range(count)
    if labels.step != 1 or not 0 <= labels.start < labels.stop <= count:
        raise ExtremeError(f"labels {labels} must be a range within the {count} labels of y")
    return labels


def _mean_norm(weights: NDArray[np.float16], biases: NDArray[np.float32]) -> float:
    total, trained = 0.0, 0
    for block in even_blocks(len(weights), parts=1, least=1, most=8192):
        w = weights[block.start : block.stop].astype(np.float32)
        squares = np.einsum("ld,ld->l", w, w) + biases[block.start : block.stop] ** 2
        total += float(np.sqrt(squares).sum(dtype=np.float64))
        trained += int(np.count_nonzero(squares))
    return total / max(trained, 1)
