"""Everything that can rank labels for examples, behind one call."""

from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.baselines.floors import (
    Ranking,
    co_occurrence,
    label_similarity,
    popular,
    repeat,
)
from components.evaluation.metrics import precision_at_k
from components.extreme.slice import Slice
from components.labels.examples import Examples

TRAINED_ON = {"D1": "D1", "D1-new": "D1-new", "D2": "D2", "D3": "D2"}
"""Whose labels a method learns before it is measured on a data set."""

VALIDATION_MEMBERS = 2000
_CHOSEN_AT = 5
_SCORES_AT_ONCE = 16_000_000


class Predictor(Protocol):
    """Ranks labels for rows of the examples."""

    def __call__(
        self, rows: NDArray[np.int64], k: int, exclude: sp.csr_matrix | None, /
    ) -> Ranking:
        """Rank labels.

        Args:
            rows: examples, [n].
            k: labels per example, at most the number of labels.
            exclude: labels not to return, sparse [n, L].

        Returns:
            Labels int32 [n, k], best first, -1 where there are fewer; scores float32 [n, k].
        """


def floor_predictors(examples: Examples) -> dict[str, dict[str, Predictor]]:
    """Learn the floors from the training examples, as the models are.

    Popularity is that of each data set's own labels. Co-occurrence is learnt from all labels of a
    training member; whether frequent labels are discounted (cosine) or not (conditional frequency)
    is chosen for each data set by precision at 5 on validation members.

    Returns:
        Method to data set to predictor; the one for D2 serves D3 too.
    """
    _, all_labels = examples.select("D2", "train")
    similarities = [label_similarity(all_labels, popularity=share) for share in (0.5, 0)]
    past = examples.context
    companions = [_companions(similarity, past) for similarity in similarities]
    trained_on = sorted(set(TRAINED_ON.values()))
    return {
        "popular": {dataset: _popular(examples, dataset) for dataset in trained_on},
        "repeat": {
            dataset: lambda rows, k, exclude: repeat(past[rows], k, exclude=exclude)
            for dataset in trained_on
        },
        "co-occurrence": {
            dataset: _better(companions, examples, dataset) for dataset in trained_on
        },
    }


def slice_predictor(model: Slice, vectors: NDArray[np.float32]) -> Predictor:
    """Rank by Slice on the examples' vectors, float32 [examples, d]."""
    return lambda rows, k, exclude: model.predict(vectors[rows], k, exclude=exclude)


def linear_predictor(
    features: NDArray[np.float32], weights: NDArray[np.float32], biases: NDArray[np.float32]
) -> Predictor:
    """Rank by one linear score per label over all labels: a network trained end to end.

    Args:
        features: what the network's label layer sees of each example, float32 [examples, d].
        weights: of the label layer, float32 [L, d].
        biases: likewise, float32 [L].
    """
    at_once = max(1, _SCORES_AT_ONCE // len(weights))

    def predict(rows: NDArray[np.int64], k: int, exclude: sp.csr_matrix | None) -> Ranking:
        labels = np.full((len(rows), k), -1, np.int32)
        probabilities = np.zeros((len(rows), k), np.float32)
        for start in range(0, len(rows), at_once):
            block = slice(start, start + at_once)
            scores = features[rows[block]] @ weights.T + biases
            if exclude is not None:
                barred = exclude[block]
                scores[
                    np.repeat(np.arange(len(scores)), np.diff(barred.indptr)), barred.indices
                ] = -np.inf
            labels[block], probabilities[block] = _best(scores, k)
        return labels, probabilities

    return predict


def _popular(examples: Examples, dataset: str) -> Predictor:
    _, labels = examples.select(dataset, "train")
    counts = np.bincount(labels.indices, minlength=labels.shape[1])
    return lambda rows, k, exclude: popular(counts, len(rows), k, exclude=exclude)


def _companions(similarity: sp.csr_matrix, past: sp.csr_matrix) -> Predictor:
    return lambda rows, k, exclude: co_occurrence(similarity, past[rows], k, exclude=exclude)


def _better(candidates: list[Predictor], examples: Examples, dataset: str) -> Predictor:
    rows, truth = (part[:VALIDATION_MEMBERS] for part in examples.select(dataset, "validation"))
    exclude = examples.past_to_exclude(dataset, rows)

    def precision(predict: Predictor) -> float:
        labels, _ = predict(rows, min(_CHOSEN_AT, truth.shape[1]), exclude)
        return precision_at_k(labels, truth, _CHOSEN_AT) if len(rows) else 0.0

    return max(candidates, key=precision)


def _best(scores: NDArray[np.float32], k: int) -> Ranking:
    top = np.argpartition(-scores, min(k, scores.shape[1] - 1), axis=1)[:, :k]
    order = np.lexsort((top, -np.take_along_axis(scores, top, axis=1)), axis=1)
    labels = np.take_along_axis(top, order, axis=1)
    values = np.take_along_axis(scores, labels, axis=1)
    known = np.isfinite(values)
    probabilities = 1 / (1 + np.exp(-np.clip(values, -80, 80)))
    return (
        np.where(known, labels, -1).astype(np.int32),
        np.where(known, probabilities, 0).astype(np.float32),
    )
