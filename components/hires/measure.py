"""How good predicted probabilities are: pure functions of probabilities and what happened."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]
Outcomes = NDArray[np.bool_]
Measure = Callable[[Probabilities, Outcomes], float]

_TIMES_BY_CHANCE = 200


def auc(predicted: Probabilities, happened: Outcomes) -> float:
    """Chance that what happened had a higher probability than what did not; a tie is half.

    Not a number when all or none happened.
    """
    from sklearn.metrics import roc_auc_score

    if happened.all() or not happened.any():
        return float("nan")
    return float(roc_auc_score(happened, predicted))


def log_loss(predicted: Probabilities, happened: Outcomes) -> float:
    """Mean of -log of the probability given to what came about, in nats."""
    from sklearn import metrics

    return float(metrics.log_loss(happened, predicted, labels=[False, True]))


def brier(predicted: Probabilities, happened: Outcomes) -> float:
    """Mean squared difference between probability and outcome."""
    return float(((predicted - happened) ** 2).mean())


def calibration_error(predicted: Probabilities, happened: Outcomes, bins: int = 10) -> float:
    """Expected calibration error: |mean predicted - observed rate|, over bins of equal numbers.

    Source: Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, 2015.
    """
    gaps = [
        len(rows) * abs(predicted[rows].mean() - happened[rows].mean())
        for rows in _bins(predicted, bins)
    ]
    return float(sum(gaps) / len(predicted))


def calibration_error_by_chance(predicted: Probabilities, bins: int, *, seed: int) -> float:
    """Return the expected calibration error if every probability were exactly right.

    Bins of few outcomes never match their probability: an error is to be read beside this one.
    """
    random = np.random.default_rng(seed)
    errors = [
        calibration_error(predicted, random.random(len(predicted)) < predicted, bins)
        for _ in range(_TIMES_BY_CHANCE)
    ]
    return float(np.mean(errors))


def reliability(predicted: Probabilities, happened: Outcomes, bins: int) -> list[dict]:
    """Return bins of equal numbers by probability: mean predicted, observed rate, its interval.

    `low` and `high` are Wilson's 95% interval of the observed rate.
    """
    rows = []
    for own in _bins(predicted, bins):
        count, observed = len(own), float(happened[own].mean())
        low, high = wilson(observed, count)
        rows.append(
            {
                "predicted": float(predicted[own].mean()),
                "observed": observed,
                "count": count,
                "low": low,
                "high": high,
            }
        )
    return rows


def wilson(rate: float, count: int) -> tuple[float, float]:
    """Return the 95% interval of a rate observed `count` times.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    from scipy.stats import binomtest

    interval = binomtest(round(rate * count), count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def with_intervals(
    measures: Mapping[str, Measure],
    predicted: Probabilities,
    happened: Outcomes,
    member: NDArray[np.int64],
    *,
    resamples: int,
    seed: int,
) -> dict[str, float | None]:
    """Measure, with 95% intervals of a bootstrap over members.

    Returns:
        By name the figure, and `<name>_low` and `<name>_high`; None where it is not a number.
    """
    _, owner = np.unique(member, return_inverse=True)
    order = np.argsort(owner, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(owner))[:-1])
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(resamples):
        rows = np.concatenate([rows_of[m] for m in random.integers(0, len(rows_of), len(rows_of))])
        for name, measure in measures.items():
            drawn[name].append(measure(predicted[rows], happened[rows]))
    result: dict[str, float | None] = {}
    for name, measure in measures.items():
        finite = [value for value in drawn[name] if np.isfinite(value)]
        low, high = np.quantile(finite, [0.025, 0.975]) if finite else (np.nan, np.nan)
        figures = {name: measure(predicted, happened), f"{name}_low": low, f"{name}_high": high}
        result |= {key: float(v) if np.isfinite(v) else None for key, v in figures.items()}
    return result


def _bins(predicted: Probabilities, bins: int) -> list[NDArray[np.int64]]:
    order = np.argsort(predicted, kind="stable")
    return np.array_split(order, min(bins, len(order)))
