"""Audience figures on cases small enough to count by hand."""

import numpy as np
import pytest

from components.audience.metrics import compare, draw_postings, figures, pairs_matrix

# Two postings, four members.
RELEVANT = pairs_matrix(np.array([0, 0, 1]), np.array([0, 1, 2]), (2, 4))
RECOMMENDED = pairs_matrix(np.array([0, 0, 1]), np.array([0, 3, 3]), (2, 4))
ONCE = draw_postings(2, 0, seed=1)


def test_recall_precision_and_f1_are_pooled_over_postings():
    found = figures(RECOMMENDED, RELEVANT, ONCE, batch=1)
    assert found.recall == pytest.approx(1 / 3)
    assert found.precision == pytest.approx(1 / 3)
    assert found.f1 == pytest.approx(1 / 3)


@pytest.mark.parametrize(("batch", "reached"), [(1, 0.5 + 1), (2, 0.75 + 1)])
def test_liquidity_counts_whom_a_batch_of_postings_reaches_once(batch, reached):
    assert figures(RECOMMENDED, RELEVANT, ONCE, batch=batch).liquidity_batch == reached


def test_an_empty_audience_is_worth_nothing():
    nobody = pairs_matrix(np.zeros(0, int), np.zeros(0, int), (2, 4))
    for value in figures(nobody, RELEVANT, ONCE, batch=3):
        assert value.tolist() == [0.0]


def test_a_drawn_posting_counts_as_often_as_it_was_drawn():
    twice_the_first = np.array([[2, 0]])
    found = figures(RECOMMENDED, RELEVANT, twice_the_first, batch=1)
    assert found.recall == pytest.approx(1 / 2)
    assert found.liquidity_batch == pytest.approx(2)


def test_draws_are_fixed_by_the_seed_and_begin_with_the_sample_itself():
    draws = draw_postings(5, 20, seed=4)
    assert draws[0].tolist() == [1] * 5
    assert (draws.sum(axis=1) == 5).all()
    np.testing.assert_array_equal(draws, draw_postings(5, 20, seed=4))


def test_methods_are_compared_on_the_same_draws():
    rows, differences = compare(
        {"exact": RECOMMENDED, "more": RECOMMENDED + RELEVANT > 0},
        RELEVANT,
        draw_postings(2, 200, seed=1),
        against=[("more", "exact")],
        batch=1,
    )
    assert [row["method"] for row in rows] == ["exact", "more"]
    assert rows[0]["liquidity"] == 2
    assert rows[0]["pairs"] == 3
    assert rows[0]["per_posting"] == 1.5
    assert rows[0]["recall_low"] <= rows[0]["recall"] <= rows[0]["recall_high"]
    recall = next(d for d in differences if d["measure"] == "recall")
    assert recall["difference"] == pytest.approx(2 / 3)
    assert recall["relative"] == pytest.approx(2)
    assert 0 < recall["low"] <= recall["difference"] <= recall["high"]
