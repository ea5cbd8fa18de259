"""Comparisons find what was planted, nothing where nothing is, and say how sure they are."""

import numpy as np
import pytest

from components.experiments.cells import Cells
from components.experiments.estimates import Estimate, compare
from components.experiments.metrics import CTR, metric
from components.experiments.sequential import always_valid_margin, always_valid_p
from tests.components.experiments import traffic

RUNS = 400


def within(rate: float, expected: float) -> bool:
    """Whether a rate of RUNS agrees with the expected one but for four deviations of chance."""
    return bool(abs(rate - expected) < 4 * np.sqrt(expected * (1 - expected) / RUNS))


def estimate(cells: Cells, name: str = "ctr", **rest) -> Estimate:
    found = compare(cells, metric(name), "blue", "control", **rest)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["ctr", "apply"])
@pytest.mark.parametrize("known", [False, True], ids=["plain", "cuped"])
def test_an_a_a_test_is_significant_in_one_of_twenty(name: str, known: bool) -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(RUNS):
        (cells,), before = traffic.cells(rng, units=600)
        found = estimate(cells, name, before=before if known else None)
        wrong += abs(found.lift) > 1.96 * found.null_error
    assert within(wrong / RUNS, 0.05)


def test_the_interval_holds_a_planted_lift_in_nineteen_of_twenty() -> None:
    rng = np.random.default_rng(2)
    missed = 0
    for _ in range(RUNS):
        (cells,), before = traffic.cells(rng, units=800, lift=0.3, share=0.3)
        found = estimate(cells, before=before)
        missed += abs(found.lift - 0.3) > 1.96 * found.lift_error
    assert within(missed / RUNS, 0.05)


def test_looking_twelve_times_finds_nothing_that_is_not_there() -> None:
    rng = np.random.default_rng(3)
    naive = always = missed = 0
    for _ in range(RUNS):
        looks, _ = traffic.cells(rng, units=600, looks=12)
        found = [estimate(cells) for cells in looks]
        naive += any(abs(f.lift) > 1.96 * f.null_error for f in found)
        always += any(always_valid_p(f.lift, f.null_error) < 0.05 for f in found)
        missed += any(abs(f.lift) > always_valid_margin(f.lift_error, alpha=0.05) for f in found)
    assert naive / RUNS > 0.1, "ordinary p-values are wrong when looked at again and again"
    assert always / RUNS <= 0.05
    assert missed / RUNS <= 0.05


def test_a_planted_lift_is_found_for_sure_and_sooner_with_the_pre_period() -> None:
    rng = np.random.default_rng(4)
    plain = known = 0
    for _ in range(60):
        (cells,), before = traffic.cells(rng, units=4000, lift=0.25)
        one, other = estimate(cells), estimate(cells, before=before)
        plain += always_valid_p(one.lift, one.null_error) < 0.05
        known += always_valid_p(other.lift, other.null_error) < 0.05
    assert plain / 60 > 0.5
    assert known / 60 > 0.7
    assert known >= plain


def test_the_pre_period_narrows_the_interval_by_what_it_explains() -> None:
    rng = np.random.default_rng(5)
    (cells,), before = traffic.cells(rng, units=5000, looks=1, rate=0.3, lift=0.1)
    plain, known = estimate(cells, "apply"), estimate(cells, "apply", before=before)
    assert 0.1 < known.reduction < 0.9
    assert known.lift_error == pytest.approx(
        plain.lift_error * np.sqrt(1 - known.reduction), rel=0.05
    )
    assert known.lift == pytest.approx(0.1, abs=4 * known.lift_error)
    noise = rng.normal(size=before.shape)
    assert estimate(cells, before=noise).reduction == pytest.approx(0, abs=0.01)


def test_one_epoch_per_unit_is_the_test_of_two_means_that_statsmodels_has() -> None:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    (cells,), _ = traffic.cells(np.random.default_rng(6), units=1000, lift=0.2)
    found = estimate(cells, "apply")
    clicks = cells.sums["apply"]
    pair = CompareMeans(
        DescrStatsW(clicks[cells.variant == 1]), DescrStatsW(clicks[cells.variant == 0])
    )
    z, _ = pair.ztest_ind(usevar="unequal")
    assert found.lift / found.null_error == pytest.approx(z, rel=1e-9)


def test_a_ramp_on_a_better_day_is_not_taken_for_a_better_variant() -> None:
    rng = np.random.default_rng(7)
    lifts, naive, errors = [], [], []
    for _ in range(50):
        cells = ramped(rng)
        found = estimate(cells)
        lifts.append(found.lift)
        errors.append(found.null_error)
        rates = [
            cells.sums["ctr"][cells.variant == v].sum() / cells.requests[cells.variant == v].sum()
            for v in (0, 1)
        ]
        naive.append(rates[1] / rates[0] - 1)
    assert np.mean(naive) > 0.15
    assert np.mean(lifts) == pytest.approx(0, abs=4 * np.std(lifts) / np.sqrt(50))
    # Units that move from control to the treatment by the ramp are in both, and counted once.
    assert np.std(lifts) == pytest.approx(np.mean(errors), rel=0.4)


def ramped(rng: np.random.Generator) -> Cells:
    """No difference; a first day with few treated and few clicks, then a day with many of both."""
    units, draw = 2000, rng.random(2000)
    taste = rng.gamma(4, 0.25, units)
    parts = []
    for epoch, (share, rate) in enumerate([(0.1, 0.1), (0.5, 0.3)]):
        requests = rng.poisson(3, units) + 1
        clicks = rng.binomial(requests, np.minimum(1, rate * taste))
        parts.append((np.full(units, epoch), draw < share, np.arange(units), requests, clicks))
    epoch, treated, unit, requests, clicks = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Cells(
        epochs=["first", "second"],
        variants=["control", "blue"],
        units=[str(u) for u in range(units)],
        epoch=epoch,
        variant=treated.astype(np.int64),
        unit=unit,
        requests=requests.astype(float),
        sums={"ctr": clicks.astype(float)},
    )


def test_too_few_units_are_not_compared_and_too_few_events_are_marked() -> None:
    rng = np.random.default_rng(8)
    (few,), _ = traffic.cells(rng, units=40)
    assert compare(few, CTR, "blue", "control") is None
    (rare,), _ = traffic.cells(rng, units=300, rate=0.005)
    assert not estimate(rare).enough


def test_a_variant_without_any_click_is_not_thought_to_have_no_variance() -> None:
    (cells,), _ = traffic.cells(np.random.default_rng(9), units=300, lift=-1)
    assert estimate(cells).lift == -1
    assert estimate(cells).mean_error == 0
    assert estimate(cells, cautious=True).mean_error > 0


def test_always_valid_p_and_interval_tell_the_same_at_the_edge() -> None:
    for error in (0.001, 0.05, 2.0):
        margin = always_valid_margin(error, alpha=0.05)
        assert always_valid_p(margin, error) == pytest.approx(0.05)
        assert margin > 1.96 * error
    assert always_valid_p(0.0, 0.1) == 1
    assert always_valid_p(0.1, 0.0) == 0
