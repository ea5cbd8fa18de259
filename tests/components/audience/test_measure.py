"""Measuring: neighbours against exact matching, and against as many others."""

import numpy as np
import pytest

from components.audience.config import AudienceConfig
from components.audience.measure import (
    ACTIVE,
    AS_MANY,
    AS_MANY_EXPANDED,
    EXACT,
    RANDOM,
    RERANKED,
    Scored,
    measure,
    within,
)
from components.audience.metrics import pairs_matrix
from components.audience.retrieval import retrieve
from tests.components.audience.conftest import DRIVERS, NURSES, match

CONFIG = AudienceConfig(anchors=1, neighbours=6, at_least=0.5, resamples=50, batch=2)
WIDE = CONFIG.model_copy(update={"at_least": -1.0})


@pytest.fixture
def measured(crowd):
    """Two postings with one exact match each, applied to by the crowds around these."""
    postings = np.repeat([0, 1], 6)
    relevant = pairs_matrix(postings, np.array([*NURSES, *DRIVERS]), (2, 12))
    candidates = {}
    for mechanism in ("mean", "feedback"):
        config = WIDE.model_copy(update={"mechanism": mechanism})
        pool = retrieve(crowd.index, [match(0), match(7)], config)
        candidates[mechanism] = Scored(pool, pool.similarity)
    return measure(relevant, candidates, np.arange(12), CONFIG, threshold=0.9, seed=1)


def row_of(measured, method):
    return next(row for row in measured["rows"] if row["method"] == method)


def test_neighbours_find_those_whom_exact_matching_misses(measured):
    assert row_of(measured, EXACT)["recall"] == pytest.approx(2 / 12)
    expanded = row_of(measured, "exact match + mean")
    assert expanded["recall"] == 1
    assert expanded["precision"] == 1
    assert expanded["liquidity"] == 12


def test_as_many_others_are_worth_less(measured):
    expanded = row_of(measured, "exact match + mean")
    for method in (ACTIVE, RANDOM):
        other = row_of(measured, method)
        assert other["pairs"] == expanded["pairs"]
        assert other["recall"] < expanded["recall"]


def test_the_best_are_compared_at_equal_volume(measured):
    for method, other in ((AS_MANY, EXACT), (AS_MANY_EXPANDED, "exact match + mean")):
        assert row_of(measured, method)["pairs"] == row_of(measured, other)["pairs"]


def test_the_threshold_lets_the_best_scores_pass(measured, crowd):
    best = [match(0), match(7)]
    pool = retrieve(crowd.index, best, WIDE)
    passed = within(pool, 6, -1) & (pool.similarity >= 0.9)
    assert row_of(measured, RERANKED)["pairs"] == passed.sum()


def test_without_a_re_ranker_nothing_is_thresholded(crowd):
    pool = retrieve(crowd.index, [match(0)], WIDE)
    relevant = pairs_matrix(np.zeros(1, int), np.array([1]), (1, 12))
    scored = {"mean": Scored(pool, pool.similarity), "feedback": Scored(pool, pool.similarity)}
    found = measure(relevant, scored, np.arange(12), CONFIG, threshold=None, seed=1)
    assert RERANKED not in {row["method"] for row in found["rows"]}


def test_differences_have_intervals_against_exact_matching_and_chance(measured):
    pairs = {(row["method"], row["against"]) for row in measured["differences"]}
    assert ("exact match + mean", EXACT) in pairs
    assert ("exact match + mean", RANDOM) in pairs
    assert all(row["low"] <= row["high"] for row in measured["differences"])


def test_the_curve_grows_from_exact_matching(measured):
    mean = [row for row in measured["curve"] if row["mechanism"] == "mean"]
    assert [row["neighbours"] for row in mean] == [0, 5]
    assert mean[0]["recall"] == pytest.approx(row_of(measured, EXACT)["recall"])
    assert mean[0]["recall"] < mean[1]["recall"]
    mechanisms = {row["mechanism"] for row in measured["curve"]}
    assert mechanisms == {"mean", "feedback", "best", ACTIVE, RANDOM}
