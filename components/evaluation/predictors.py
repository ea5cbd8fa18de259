"""Everything that can rank labels for examples, behind one call."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.baselines.floors import (
    co_occurrence,
    label_similarity,
    popular,
    repeat,
)
from components.baselines.predictions import Rank
from components.evaluation.metrics import precision_at_k
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
