"""Every metric against a value worked out by hand."""

import numpy as np
import pytest
import scipy.sparse as sp

from components.evaluation import metrics
from components.evaluation.metrics import (
    by_frequency,
    difference_interval,
    grade_shares,
    hits,
    precision_at_k,
    propensities,
    propensity_scored_precision_at_k,
    repeat_share,
    semantic_similarity_at_k,
    suggestion_coverage,
)

PREDICTED = np.array([[0, 1, 2], [3, 0, -1]], dtype=np.int32)
TRUTH = sp.csr_matrix([[1, 0, 1, 0, 0], [1, 0, 0, 0, 1]])


def test_a_hit_is_a_prediction_among_the_true_labels():
    assert hits(PREDICTED, TRUTH).tolist() == [[True, False, True], [False, True, False]]


def test_a_missing_prediction_is_no_hit_of_the_row_before():
    truth = sp.csr_matrix([[0, 0, 1], [1, 0, 0]])
    assert not hits(np.array([[0], [-1]], dtype=np.int32), truth).any()


def test_an_explicit_zero_is_not_a_label():
    truth = sp.csr_matrix((np.array([0, 1]), np.array([0, 1]), np.array([0, 2])), shape=(1, 3))
    assert hits(np.array([[0, 1]], dtype=np.int32), truth).tolist() == [[False, True]]


@pytest.mark.parametrize(("k", "expected"), [(1, 1 / 2), (2, 2 / 4), (3, 3 / 6)])
def test_precision_counts_hits_over_k(k, expected):
    assert precision_at_k(PREDICTED, TRUTH, k) == pytest.approx(expected)


def test_precision_counts_missing_predictions_as_wrong():
    assert precision_at_k(PREDICTED[:, :2], TRUTH, 5) == pytest.approx(2 / 10)


ENTITIES = np.array([[2, 0], [0, 3], [1, 1], [0, 0], [-1, 0]], dtype=np.float32)


def test_semantic_similarity_takes_the_nearest_true_entity():
    # Row 0, truth {0, 2}: label 0 is 1 close, label 1 sqrt(1/2) to label 2.
    # Row 1, truth {0, 4}: label 3 has no vector, label 0 is 1 close.
    first = semantic_similarity_at_k(PREDICTED, TRUTH, ENTITIES, 1)
    second = semantic_similarity_at_k(PREDICTED, TRUTH, ENTITIES, 2)
    assert first == pytest.approx((1 + 0) / 2)
    assert second == pytest.approx((1 + 0.5**0.5 + 0 + 1) / 4)


def test_semantic_similarity_of_a_missing_prediction_is_zero():
    # Row 1 would be 1 close if its -1 were taken for the last entity.
    expected = (1 + 0.5**0.5 + 1 + 0 + 1 + 0) / 6
    assert semantic_similarity_at_k(PREDICTED, TRUTH, ENTITIES, 3) == pytest.approx(expected)


def test_semantic_similarity_does_not_depend_on_blocks(monkeypatch):
    whole = semantic_similarity_at_k(PREDICTED, TRUTH, ENTITIES, 2)
    monkeypatch.setattr(metrics, "_CELLS_AT_ONCE", 1)
    assert semantic_similarity_at_k(PREDICTED, TRUTH, ENTITIES, 2) == pytest.approx(whole)


def test_coverage_is_the_share_of_labels_that_anybody_was_given():
    assert suggestion_coverage(PREDICTED, 8) == pytest.approx(4 / 8)


def test_repeats_are_suggestions_that_the_past_holds():
    past = sp.csr_matrix([[2, 0, 1, 0, 0], [0, 0, 0, 1, 0]])
    assert repeat_share(PREDICTED, past, 1) == pytest.approx(2 / 2)
    assert repeat_share(PREDICTED, past, 3) == pytest.approx(3 / 5)


def test_saying_nothing_repeats_nothing():
    nothing = np.full((2, 3), -1, dtype=np.int32)
    assert repeat_share(nothing, sp.csr_matrix(np.ones((2, 5))), 3) == 0


def test_propensity_grows_with_frequency():
    # N = e^3: C = 2 * 2^0.5 with A = 0.5, B = 1; p = 1 / (1 + C / sqrt(N_l + 1)).
    c = 2 * 2**0.5
    found = propensities(np.array([0, 3]), points=np.exp(3), a=0.5, b=1)
    np.testing.assert_allclose(found, [1 / (1 + c), 1 / (1 + c / 2)])


def test_propensity_scored_precision_is_a_share_of_the_attainable():
    propensity = np.array([1, 1, 0.5, 1, 0.1])  # worth 1, 1, 2, 1 and 10
    # Gained at 1: 1 of row 0, nothing of row 1; attainable: 2 and 10.
    assert propensity_scored_precision_at_k(PREDICTED, TRUTH, propensity, 1) == pytest.approx(
        1 / 12
    )
    # Gained at 3: 1 + 2 and 1; attainable: 2 + 1 and 10 + 1.
    assert propensity_scored_precision_at_k(PREDICTED, TRUTH, propensity, 3) == pytest.approx(
        4 / 14
    )


def test_grades_are_shared_out_over_the_suggestions_made():
    grades = np.array([[0, 0, 3], [1, -1, -1]])
    expected = {"perfect": 0.5, "good": 0.25, "fair": 0, "bad": 0.25}
    assert grade_shares(grades, list(expected)) == expected


def test_a_difference_comes_with_an_interval_around_it():
    ours = np.array([1] * 60 + [0] * 40)
    theirs = np.array([1] * 30 + [0] * 70)
    mean, low, high = difference_interval(ours, theirs, resamples=4000, seed=0)
    # 30 of 100 members differ: a standard error of sqrt(0.3 * 0.7 / 100) = 0.046.
    assert mean == pytest.approx(0.3)
    assert low == pytest.approx(0.3 - 1.96 * 0.0458, abs=0.015)
    assert high == pytest.approx(0.3 + 1.96 * 0.0458, abs=0.015)


def test_methods_that_agree_on_every_member_do_not_differ():
    same = np.array([1, 0, 1])
    assert difference_interval(same, same, resamples=10, seed=0) == (0, 0, 0)


def test_hits_split_by_how_frequent_the_label_is():
    counts = np.array([100, 100, 3, 3, 3])
    bands = {"rare": (0, 10), "frequent": (10, np.inf)}
    rare, frequent = by_frequency(PREDICTED, TRUTH, counts, bands)
    assert rare == {"band": "rare", "precision": 1 / 2, "recall": 1 / 2, "suggested": 2 / 5}
    assert frequent == {
        "band": "frequent",
        "precision": 2 / 3,
        "recall": 2 / 2,
        "suggested": 3 / 5,
    }
