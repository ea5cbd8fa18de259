"""Guardrails stop what does harm, soon, and never what does none, however often they look."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.experiments.guardrails import Trip, check
from components.experiments.manifest import Experiment
from tests.components.experiments import traffic
from tests.components.experiments.manifests import experiment

CTR = {"metric": "ctr", "noWorseThan": 20}


def made(*rails: dict, percent: float = 50, **rest) -> Experiment:
    return experiment({"blue": percent}, guardrails=list(rails), **rest)


def clicks(one: Experiment, blue: float, *, units: int = 600, seed: int = 1):
    rng = np.random.default_rng(seed)
    return traffic.days(
        one, units=units, days=range(4), rates={"control": 0.2, "blue": blue}, rng=rng
    )


def looked(one: Experiment, seen: pa.Table, done: pa.Table, looks: int = 15) -> list[Trip]:
    """Every trip over many looks at more and more of the same traffic."""
    ends = np.linspace(0, seen["ts"].to_numpy().max(), looks + 1)[1:]
    return [
        trip
        for end in ends
        for trip in check(
            one,
            seen.filter(pc.less_equal(seen["ts"], end)),
            done.filter(pc.less_equal(done["ts"], end)),
        )
    ]


def test_a_variant_that_nobody_clicks_on_is_stopped_with_the_reason() -> None:
    one = made(CTR)
    trips = check(one, *clicks(one, 0.02))
    assert [(t.experiment, t.variant, t.metric, t.action) for t in trips] == [
        ("colours", "blue", "ctr", "stop")
    ]
    assert trips[0].value < trips[0].bound
    assert "surely more than 20% worse than control's" in trips[0].reason


def test_it_is_stopped_before_many_have_seen_it() -> None:
    one = made({**CTR, "minimumExposures": 100})
    seen, done = clicks(one, 0.0)
    early = pc.less_equal(seen["ts"], traffic.DAY)
    assert check(one, seen.filter(early), done)


def test_an_equal_variant_is_not_stopped_by_any_of_many_looks() -> None:
    one = made(CTR, {"metric": "ctr", "noWorseThan": 0}, {"metric": "errors", "atMost": 0.01})
    assert not [t for seed in range(4) for t in looked(one, *clicks(one, 0.2, seed=seed))]


def test_a_little_worse_is_not_more_than_what_is_allowed() -> None:
    one = made(CTR)
    assert not looked(one, *clicks(one, 0.18, units=1200), looks=5)


def failing(one: Experiment, share: float, reason: str = "fallback:error") -> pa.Table:
    rng = np.random.default_rng(2)
    rows = []
    for number in range(2000):
        failed = rng.random() < share
        rows.append({"unit": f"m{number % 400}", "ts": number, "reason": reason if failed else ""})
    table = traffic.exposures(one, rows)
    control = pc.equal(table["variant"], "control")
    reasons = pc.if_else(control, "", table["reason"])
    place = table.column_names.index("reason")
    return table.set_column(place, table.schema.field(place), reasons)


@pytest.mark.parametrize("metric", ["errors", "fallbacks"])
def test_a_variant_that_fails_is_stopped_though_control_answered_for_it(metric: str) -> None:
    one = made({"metric": metric, "atMost": 0.02})
    assert check(one, failing(one, 0.3), traffic.outcomes([]))
    assert check(one, failing(one, 1.0), traffic.outcomes([]))
    assert not check(one, failing(one, 0.02), traffic.outcomes([]))


def test_a_slow_variant_is_worse_when_its_seconds_are_more() -> None:
    one = made({"metric": "seconds", "noWorseThan": 50})
    rng = np.random.default_rng(3)
    rows = [{"unit": f"m{n}", "ts": n, "seconds": rng.gamma(4, 0.01)} for n in range(2000)]
    even = traffic.exposures(one, rows)
    assert not check(one, even, traffic.outcomes([]))
    slow = pc.multiply(even["seconds"], pc.if_else(pc.equal(even["variant"], "blue"), 3.0, 1.0))
    place = even.column_names.index("seconds")
    assert check(one, even.set_column(place, even.schema.field(place), slow), traffic.outcomes([]))


def test_nobody_is_judged_on_too_little() -> None:
    one = made({**CTR, "minimumExposures": 5000})
    assert not check(one, *clicks(one, 0.0))
    crowd = made({"metric": "errors", "atMost": 0.01, "minimumExposures": 1})
    rows = [{"unit": f"m{n % 10}", "ts": n, "status": 503} for n in range(1000)]
    assert not check(crowd, traffic.exposures(crowd, rows), traffic.outcomes([]))


def test_a_variant_that_was_mended_is_not_stopped_for_its_past() -> None:
    broken = made(CTR)
    seen, done = clicks(broken, 0.0)
    assert check(broken, seen, done)
    mended = made(CTR, percent=40)
    assert not check(mended, seen, done)


def test_a_variant_that_nobody_gets_is_not_judged() -> None:
    one = made(CTR)
    seen, done = clicks(one, 0.0)
    assert not check(made(CTR, percent=0), seen, done)
    assert not check(made(CTR, stopped=True), seen, done)
    assert not check(made(), seen, done)
    assert not check(one, seen.slice(0, 0), done)


def test_a_guardrail_may_only_report() -> None:
    one = made({**CTR, "action": "report"})
    assert [t.action for t in check(one, *clicks(one, 0.0))] == ["report"]
