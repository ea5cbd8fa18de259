"""The last step of a prediction: exact scores on a shortlist, combined with the cosines."""

import numba
import numpy as np

from components.extreme.half import dot


@numba.njit(nogil=True, cache=True)
def rank(x, near, cosines, weights, biases, gamma, told_apart, skip, skipped, labels, scores):
    """Write the best labels of each row by sigma(w.x) + sigma(gamma cos).

    A classifier has learnt to tell its label's points from those whose shortlist holds the label,
    so a label further down than that is given no sigma(w.x): it may fill a longer list, never
    overtake.

    Args:
        x: unit rows, float32 [n, d].
        near: shortlists int32 [n, m], nearest first, -1 padded.
        cosines: theirs, float32 [n, m].
        weights: bits of float16 [L, d].
        biases: float32 [L].
        gamma: scale of the cosine.
        told_apart: length of the shortlists in training.
        skip: offsets int64 [n + 1] into `skipped`.
        skipped: labels not to return, int32.
        labels: int32 [n, k], filled with -1; receives the best, best first.
        scores: float32 [n, k], filled with 0; receives their scores.
    """
    k = labels.shape[1]
    most = max(k, told_apart)
    for i in range(x.shape[0]):
        barred = skipped[skip[i] : skip[i + 1]]
        taken = 0
        filled = 0
        for j in range(near.shape[1]):
            label = near[i, j]
            if label < 0 or taken == most:
                break
            if _among(barred, label):
                continue
            score = _sigma(gamma * cosines[i, j])
            if taken < told_apart:
                score += _sigma(dot(weights[label], x[i]) + biases[label])
            taken += 1
            place = min(filled, k - 1)
            if filled == k and scores[i, place] >= score:
                continue
            while place > 0 and scores[i, place - 1] < score:
                labels[i, place], scores[i, place] = labels[i, place - 1], scores[i, place - 1]
                place -= 1
            labels[i, place], scores[i, place] = label, score
            filled = min(filled + 1, k)


@numba.njit(nogil=True, cache=True)
def _among(values, value):
    found = False
    for v in values:
        found |= v == value
    return found


@numba.njit(nogil=True, cache=True)
def _sigma(z):
    return np.float32(1) / (np.float32(1) + np.exp(-z))
