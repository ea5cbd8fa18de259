"""One-vs-all classifiers by dual coordinate descent, compiled and free of Python's lock."""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from components.extreme.inputs import Lists
from components.extreme.shortlist import holds

LABELS_PER_DRAW = 64
"""Neighbouring labels share the points drawn as random negatives, which are then still cached."""
SETTLED = 0.1
"""A point without a part in the classifier, this far beyond the margin, is not visited again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Solver:
    """Cost and effort; see `SliceConfig`."""

    cost: float
    rounds: int
    tolerance: float
    random_negatives: int
    negatives_per_positive: float


def train_weights(
    x: NDArray[np.float32],
    positives: Lists,
    negatives: Lists,
    *,
    labels: range,
    solver: Solver,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Train the L2-regularised squared-hinge classifiers of a block of labels.

    A label is told from its hard negatives, and from points drawn at random that stand for all
    the others: each weighs as many points as it represents, so that scores of frequent and rare
    labels can be compared.

    A label's result depends on its own points and the seed only, so blocks may be trained in any
    order, on any thread, in any process.

    Args:
        x: points of unit norm (or zero), float32 [n, d].
        positives: the rows of x that carry each label, ascending.
        negatives: the rows that each label is to be told from, ascending.
        labels: the labels to train.
        solver: cost and effort.
        seed: fixes the points drawn, and the order in which points are visited.

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
        solver.random_negatives,
        np.float32(solver.negatives_per_positive),
        np.float32(solver.cost),
        solver.rounds,
        np.float32(solver.tolerance),
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
    least,
    per_positive,
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
        if len(positive) == 0:
            continue
        others = x.shape[0] - len(positive) - len(negative)
        wanted = max(least, np.int64(per_positive * len(positive)))
        state = _mix(seed * np.uint64(0x9E3779B97F4A7C15) + np.uint64(label // LABELS_PER_DRAW))
        drawn, weight = _draw(x.shape[0], others, wanted, positive, negative, state)
        rows = np.concatenate((positive, negative, drawn))
        costs = np.full(len(rows), cost)
        costs[len(positive) + len(negative) :] = cost * weight
        state = _mix(state + np.uint64(label))
        biases[k] = _descend(x, rows, len(positive), costs, rounds, tolerance, state, weights[k])


@numba.njit(nogil=True, cache=True)
def _draw(points, others, wanted, positive, negative, state):
    """Draw some of the other points, all of them if that is hardly more; with each one's weight."""
    if others <= 2 * wanted:
        everyone = np.empty(others, np.int32)
        count = 0
        for row in range(points):
            if not holds(positive, row) and not holds(negative, row):
                everyone[count] = row
                count += 1
        return everyone, np.float32(1)
    drawn = np.empty(wanted, np.int32)
    count = 0
    for _ in range(wanted):
        state = _mix(state)
        some = np.int32(state % np.uint64(points))
        if not holds(positive, some) and not holds(negative, some):
            drawn[count] = some
            count += 1
    return drawn[:count], np.float32(others / max(count, 1))


@numba.njit(nogil=True, cache=True, fastmath=True)
def _descend(x, rows, positives, costs, rounds, tolerance, state, w):
    dimension = x.shape[1]
    alpha = np.zeros(len(rows), np.float32)
    bias = _start(x, rows, positives, costs, alpha, w)
    order = np.arange(len(rows))
    active = len(rows)
    for _ in range(rounds):
        for i in range(active - 1, 0, -1):
            state = _mix(state)
            other = np.int64(state % np.uint64(i + 1))
            order[i], order[other] = order[other], order[i]
        worst = np.float32(0)
        position = 0
        while position < active:
            i = order[position]
            position += 1
            row = x[rows[i]]
            sign = np.float32(1) if i < positives else np.float32(-1)
            diagonal = np.float32(0.5) / costs[i]
            margin = bias
            for d in range(dimension):
                margin += w[d] * row[d]
            gradient = sign * margin - np.float32(1) + diagonal * alpha[i]
            if alpha[i] == 0 and gradient > 0:
                if gradient > SETTLED:
                    active -= 1
                    position -= 1
                    order[position], order[active] = order[active], i
                continue
            worst = max(worst, abs(gradient))
            curvature = diagonal + np.float32(2)  # unit norm, plus the constant feature of the bias
            updated = max(alpha[i] - gradient / curvature, np.float32(0))
            step = (updated - alpha[i]) * sign
            alpha[i] = updated
            for d in range(dimension):
                w[d] += step * row[d]
            bias += step
        if worst < tolerance:
            break
    return bias


@numba.njit(nogil=True, cache=True, fastmath=True)
def _start(x, rows, positives, costs, alpha, w):
    """Begin at the best of the solutions in which alpha is proportional to cost within a class."""
    dimension = len(w)
    against = np.zeros(dimension, np.float32)
    cost = costs[0]
    for i in range(len(rows)):
        row = x[rows[i]]
        if i < positives:
            for d in range(dimension):
                w[d] += row[d]
        else:
            weight = costs[i] / cost
            for d in range(dimension):
                against[d] += weight * row[d]
    own_weight = np.float32(positives)
    other_weight = costs[positives:].sum() / cost
    diagonal = np.float32(0.5) / cost
    own = own_weight * (own_weight + diagonal)
    other = other_weight * (other_weight + diagonal)
    both = own_weight * other_weight
    for d in range(dimension):
        own += w[d] * w[d]
        other += against[d] * against[d]
        both += w[d] * against[d]
    determinant = own * other - both * both
    if determinant <= 0:
        own_alpha, other_alpha = own_weight / own, np.float32(0)
    else:
        own_alpha = (own_weight * other + other_weight * both) / determinant
        other_alpha = (other_weight * own + own_weight * both) / determinant
    alpha[:positives] = own_alpha
    for i in range(positives, len(rows)):
        alpha[i] = other_alpha * costs[i] / cost
    for d in range(dimension):
        w[d] = own_alpha * w[d] - other_alpha * against[d]
    return own_weight * own_alpha - other_weight * other_alpha


@numba.njit(nogil=True, cache=True, inline="always")
def _mix(state):
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))) + np.uint64(0x9E3779B97F4A7C15)
