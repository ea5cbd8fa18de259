"""Figures of predicted probabilities, by hand."""

import math

import numpy as np
import pytest

from components.hires.measure import (
    auc,
    brier,
    calibration_error,
    calibration_error_by_chance,
    log_loss,
    reliability,
    wilson,
    with_intervals,
)


def outcomes(text):
    return np.array([letter == "+" for letter in text])


@pytest.mark.parametrize(
    ("predicted", "happened", "expected"),
    [
        ([0.1, 0.2, 0.8], "--+", 1),
        ([0.8, 0.2, 0.1], "--+", 0),
        ([0.5, 0.5, 0.5], "-+-", 0.5),
        ([0.1, 0.4, 0.4, 0.9], "-+-+", 0.875),
    ],
)
def test_auc_is_the_chance_to_be_ahead(predicted, happened, expected):
    assert auc(np.array(predicted), outcomes(happened)) == pytest.approx(expected)


def test_auc_of_one_kind_of_outcome_is_not_a_number():
    assert math.isnan(auc(np.array([0.1, 0.9]), outcomes("++")))


def test_log_loss_and_brier_of_two_applications():
    predicted, happened = np.array([0.25, 0.5]), outcomes("-+")
    assert log_loss(predicted, happened) == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 2)
    assert brier(predicted, happened) == pytest.approx((0.0625 + 0.25) / 2)


def test_certainty_that_was_wrong_has_a_finite_loss():
    assert math.isfinite(log_loss(np.array([0.0, 1.0]), outcomes("+-")))


def test_calibration_error_is_the_mean_gap_of_bins():
    predicted = np.array([0.1, 0.1, 0.6, 0.6])
    assert calibration_error(predicted, outcomes("---+"), bins=2) == pytest.approx(0.1)
    assert calibration_error(predicted, outcomes("--++"), bins=2) == pytest.approx(0.25)


def test_even_true_probabilities_have_a_calibration_error():
    few = calibration_error_by_chance(np.full(50, 0.3), 10, seed=1)
    many = calibration_error_by_chance(np.full(5_000, 0.3), 10, seed=1)
    assert few > 3 * many > 0


def test_wilsons_interval_is_the_published_one():
    assert wilson(0.0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_bins_hold_equal_numbers_in_order_of_probability():
    bins = reliability(np.array([0.9, 0.1, 0.2, 0.3]), outcomes("+--+"), bins=2)
    assert [(b["count"], round(b["predicted"], 3), b["observed"]) for b in bins] == [
        (2, 0.15, 0),
        (2, 0.6, 1),
    ]
    assert all(b["low"] <= b["observed"] <= b["high"] for b in bins)
    assert len(reliability(np.array([0.5]), outcomes("+"), bins=10)) == 1


def test_intervals_are_over_members_and_hold_the_figure():
    random = np.random.default_rng(0)
    predicted = random.random(400)
    happened = random.random(400) < predicted

    def interval(member):
        found = with_intervals({"brier": brier}, predicted, happened, member, resamples=200, seed=1)
        assert found["brier_low"] < found["brier"] < found["brier_high"]
        return found["brier_high"] - found["brier_low"]

    # The same applications say less when they are those of a few members.
    order = np.argsort((predicted - happened) ** 2)
    of_few = np.empty(400, np.int64)
    of_few[order] = np.arange(400) // 40
    assert interval(of_few) > 2 * interval(np.arange(400))


def test_a_figure_that_is_not_a_number_is_none():
    found = with_intervals(
        {"auc": auc}, np.array([0.2, 0.4]), outcomes("--"), np.arange(2), resamples=5, seed=1
    )
    assert found == {"auc": None, "auc_low": None, "auc_high": None}
