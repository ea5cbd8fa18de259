"""AUC, F1 and their differences, against known values."""

import numpy as np
import pytest

from components.candidates.fitting import best_threshold, fit
from components.candidates.measure import Scored, measure_pairs
from components.candidates.pairs import Pairs


def pairs(member, applied, shown=None):
    member = np.array(member)
    shown = np.ones(len(member), bool) if shown is None else np.array(shown, bool)
    return Pairs(member, np.arange(len(member)), shown, np.array(applied, bool))


def measured(given, **odds):
    scored = {name: Scored(np.array(own, float), 0.5) for name, own in odds.items()}
    return measure_pairs(
        given, scored, against=[("other", "ours")][: len(odds) - 1], resamples=200, seed=1
    )


def test_auc_and_f1_of_a_few_pairs():
    given = pairs([0, 0, 0, 1, 1, 1], [1, 0, 0, 1, 0, 0])
    (row,), _ = measured(given, ours=[0.9, 0.6, 0.1, 0.6, 0.4, 0.2])
    assert row["auc"] == pytest.approx(7.5 / 8)  # one tie in eight comparisons
    assert row["precision"] == pytest.approx(2 / 3)
    assert row["recall"] == 1
    assert row["f1"] == pytest.approx(0.8)
    assert (row["pairs"], row["applied"], row["members"]) == (6, 2, 2)


def test_auc_is_that_of_the_usual_library():
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(2)
    applied = random.random(400) < 0.2
    odds = np.round(random.normal(size=400) + applied, 1)
    (row,), _ = measured(pairs(random.integers(0, 40, 400), applied), ours=odds)
    assert row["auc"] == pytest.approx(roc_auc_score(applied, odds))
    assert row["auc_low"] < row["auc"] < row["auc_high"]


def test_a_variant_does_not_differ_from_itself():
    given = pairs(np.repeat(range(10), 4), [1, 0, 0, 0] * 10)
    odds = np.random.default_rng(1).random(40)
    _, differences = measured(given, ours=odds, other=odds)
    assert [(row["measure"], row["difference"]) for row in differences] == [("auc", 0), ("f1", 0)]
    assert all(row["low"] == row["high"] == 0 for row in differences)


def test_the_threshold_is_where_f1_is_best_and_splits_no_tie():
    applied = np.array([1, 0, 1, 0, 0], bool)
    assert best_threshold(np.array([5.0, 3.0, 3.0, 2.0, 1.0]), applied) == 3.0


def test_weights_are_learnt_but_never_negative():
    random = np.random.default_rng(4)
    facts = random.random((4000, 3)).astype(np.float32)
    applied = random.random(4000) < 1 / (1 + np.exp(3 - 2 * facts[:, 0] + 2 * facts[:, 1]))
    weights = fit(facts, applied, np.ones(4000, bool), 1.0)
    assert 1 < weights.facts[0] < 3
    assert weights.facts[1] == 0
    predicted = weights.probability(weights.odds(facts))
    assert predicted.mean() == pytest.approx(applied.mean(), abs=0.005)
