"""Everything that can rank labels for examples, behind one call."""

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
from components.baselines.predictions import Predicted, Predictions, Rank
from components.evaluation.errors import EvaluationError
from components.evaluation.metrics import hits, precision_at_k
from components.extreme.slice import Slice
from components.labels.examples import Examples

TRAINED_ON = {"D1": "D1", "D1-new": "D1-new", "D2": "D2", "D3": "D2"}
"""Whose labels a method learns before it is measured on a data set."""

VALIDATION_MEMBERS = 2000
_CHOSEN_AT = 5


def floor_predictors(examples: Examples) -> dict[str, dict[str, Rank]]:
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


def slice_predictor(model: Slice, vectors: NDArray[np.float32]) -> Rank:
    """Rank by Slice on the examples' vectors, float32 [examples, d]."""
    return lambda rows, k, exclude: model.predict(vectors[rows], k, exclude=exclude)


def stored_predictors(predictions: Predictions) -> dict[str, Rank]:
    """Rank by what a method has said already, by data set.

    A predictor answers for the members that were asked about, and complains of others.
    """
    return {
        dataset: _stored(f"{predictions.method} on {dataset}", said)
        for dataset, said in predictions.datasets.items()
    }


def _stored(name: str, said: Predicted) -> Rank:
    def predict(rows: NDArray[np.int64], k: int, exclude: sp.csr_matrix | None) -> Ranking:
        places = np.searchsorted(said.rows, rows)
        if not len(said.rows) or (said.rows[np.minimum(places, len(said.rows) - 1)] != rows).any():
            raise EvaluationError(
                f"{name}: its predictions are of other members; were they made with the same seed "
                "and evaluation.members?"
            )
        labels = np.full((len(rows), k), -1, np.int32)
        kept = said.labels[places, :k]
        labels[:, : kept.shape[1]] = kept
        if exclude is not None and hits(labels, exclude).any():
            raise EvaluationError(f"{name}: predicts labels of the past, which are excluded there")
        scores = np.where(labels >= 0, 1 / (1 + np.arange(k)), 0).astype(np.float32)
        return labels, scores

    return predict


def _popular(examples: Examples, dataset: str) -> Rank:
    _, labels = examples.select(dataset, "train")
    counts = np.bincount(labels.indices, minlength=labels.shape[1])
    return lambda rows, k, exclude: popular(counts, len(rows), k, exclude=exclude)


def _companions(similarity: sp.csr_matrix, past: sp.csr_matrix) -> Rank:
    return lambda rows, k, exclude: co_occurrence(similarity, past[rows], k, exclude=exclude)


def _better(candidates: list[Rank], examples: Examples, dataset: str) -> Rank:
    rows, truth = (part[:VALIDATION_MEMBERS] for part in examples.select(dataset, "validation"))
    exclude = examples.past_to_exclude(dataset, rows)

    def precision(predict: Rank) -> float:
        labels, _ = predict(rows, min(_CHOSEN_AT, truth.shape[1]), exclude)
        return precision_at_k(labels, truth, _CHOSEN_AT) if len(rows) else 0.0

    return max(candidates, key=precision)
