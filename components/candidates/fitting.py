"""Learning the weights of clauses: a logistic regression without negative weights, calibrated."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from components.candidates.weights import Weights, logistic


def fit(
    facts: NDArray[np.float32], applied: NDArray[np.bool_], shown: NDArray[np.bool_], penalty: float
) -> Weights:
    """Learn the parameters; see `Weights`.

    Args:
        facts: of pairs, [n, WIDTH].
        applied: whether the member applied.
        shown: whether he was shown it, rather than drawn at random.
        penalty: on half the squares of the parameters.
    """
    used = np.flatnonzero(facts.any(axis=0))
    x = facts[:, used].astype(np.float64)
    scale = np.maximum(x.std(axis=0), 1e-9)
    x = np.column_stack([x / scale, np.ones(len(x))])

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        odds = x @ parameters
        value = np.logaddexp(0, odds).sum() - odds[applied].sum()
        slope = x.T @ (logistic(odds) - applied)
        held = np.append(parameters[:-1], 0)
        return value + penalty / 2 * (held @ held), slope + penalty * held

    bounds = [(0, None)] * len(used) + [(None, None)]
    start = np.append(np.zeros(len(used)), _log_odds(applied.mean()))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    learnt = np.zeros(facts.shape[1])
    learnt[used] = found[:-1] / scale
    odds = facts @ learnt + found[-1]
    slope, offset = _platt(odds[shown], applied[shown])
    return Weights(learnt, float(found[-1]), slope, offset, best_threshold(odds, applied))


def best_threshold(scores: NDArray, applied: NDArray[np.bool_]) -> float:
    """Return the score from which, taken as applied, F1 is highest."""
    order = np.argsort(-scores, kind="stable")
    ascending = scores[order]
    right = np.cumsum(applied[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + applied.sum())
    # Pairs of one score stand or fall together.
    last = np.append(ascending[1:] != ascending[:-1], True)
    return float(ascending[np.argmax(np.where(last, f1, -1))])


def _platt(odds: NDArray, applied: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit slope and offset of the logistic curve from scores to outcomes.

    Source: Platt, Probabilistic outputs for support vector machines, 1999.
    """
    if applied.all() or not applied.any():
        return 1.0, 0.0
    curve = LogisticRegression(C=1e6).fit(odds[:, None], applied)
    if curve.coef_[0, 0] <= 0:  # of those shown the score says nothing: all have the same chance
        return 0.0, _log_odds(applied.mean())
    return float(curve.coef_[0, 0]), float(curve.intercept_[0])


def _log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))
