"""One-vs-all classifiers by dual coordinate descent, compiled and free of Python's lock."""

import numba
import numpy as np
from numpy.typing import NDArray


def train_weights(
    x: NDArray[np.float32],
    positives: tuple[NDArray[np.int64], NDArray[np.int32]],
    negatives: tuple[NDArray[np.int64], NDArray[np.int32]],
    *,
    labels: range,
    cost: float,
    rounds: int,
    tolerance: float,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Train the L2-regularised squared-hinge classifiers of a block of labels.

    A label's result depends on its own points and the seed only, so blocks may be trained in any
    order, on any thread, in any process.

    Args:
        x: points of unit norm, float32 [n, d].
        positives: row offsets int64 [L + 1] by label, and the rows of x that carry the label.
        negatives: likewise, the rows that the label is to be told from.
        labels: the labels to train.
        cost: C of the loss.
        rounds: most passes over a label's points.
        tolerance: largest projected gradient of a solved label.
        seed: fixes the order in which points are visited.

    Returns:
        Weights float32 [len(labels), d] and biases float32 [len(labels)], zero without positives.

    Source: Hsieh et al., A Dual Coordinate Descent Method for Large-scale Linear SVM, ICML 2008.
    """
    weights = np.zeros((len(labels), x.shape[1]), np.float32)
    biases = np.zeros(len(labels), np.float32)
    _train_block(
        x,
        *positives,
        *negatives,
        labels.start,
        np.float32(cost),
        rounds,
        np.float32(tolerance),
        np.uint64(seed),
        weights,
        biases,
    )
    return weights, biases


@numba.njit(nogil=True, cache=True, fastmath=True)
def _train_block(
    x,
    positive_offsets,
    positive_rows,
    negative_offsets,
    negative_rows,
    first,
    cost,
    rounds,
    tolerance,
    seed,
    weights,
    biases,
):
    for k in range(len(biases)):
        label = first + k
        positive = positive_rows[positive_offsets[label] : positive_offsets[label + 1]]
        negative = negative_rows[negative_offsets[label] : negative_offsets[label + 1]]
        if len(positive):
            rows = np.concatenate((positive, negative))
            state = _mix(seed * np.uint64(0x9E3779B97F4A7C15) + np.uint64(label))
            biases[k] = _descend(x, rows, len(positive), cost, rounds, tolerance, state, weights[k])


@numba.njit(nogil=True, cache=True, fastmath=True)
def _descend(x, rows, positives, cost, rounds, tolerance, state, w):
    dim = x.shape[1]
    alpha = np.zeros(len(rows), np.float32)
    diagonal = np.float32(0.5) / cost
    curvature = diagonal + np.float32(2)  # unit norm, plus the constant feature of the bias
    bias = np.float32(0)
    order = np.arange(len(rows))
    for _ in range(rounds):
        for i in range(len(order) - 1, 0, -1):
            state = _mix(state)
            j = state % np.uint64(i + 1)
            order[i], order[j] = order[j], order[i]
        worst = np.float32(0)
        for i in order:
            row = x[rows[i]]
            sign = np.float32(1) if i < positives else np.float32(-1)
            margin = bias
            for j in range(dim):
                margin += w[j] * row[j]
            gradient = sign * margin - np.float32(1) + diagonal * alpha[i]
            if alpha[i] == 0 and gradient > 0:
                continue
            worst = max(worst, abs(gradient))
            updated = max(alpha[i] - gradient / curvature, np.float32(0))
            step = (updated - alpha[i]) * sign
            alpha[i] = updated
            for j in range(dim):
                w[j] += step * row[j]
            bias += step
        if worst < tolerance:
            break
    return bias


@numba.njit(nogil=True, cache=True, inline="always")
def _mix(state):
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))) + np.uint64(0x9E3779B97F4A7C15)
