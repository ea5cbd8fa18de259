"""Ranking by a network's last layer: one linear score per label, over all labels."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.baselines.floors import Ranking
from components.baselines.predictions import Rank

_SCORES_AT_ONCE = 16_000_000


def linear_predictor(
    features: NDArray[np.float32], weights: NDArray[np.float32], biases: NDArray[np.float32]
) -> Rank:
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
