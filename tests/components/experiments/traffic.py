"""Simulated units, for tests of what is concluded from them."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from components.experiments.allocation import allocate, segments
from components.experiments.cells import Cells
from components.experiments.exposures import EXPOSURE_SCHEMA, OUTCOME_SCHEMA
from components.experiments.manifest import Experiment

DAY = 86_400_000_000


def exposures(experiment: Experiment, rows: list[dict]) -> pa.Table:
    """Exposures from what differs between them; `unit` and `ts` are needed."""
    shares: dict[str, float] = {}
    for percent, variant in segments(experiment):
        shares[variant] = shares.get(variant, 0) + percent
    names = allocate(experiment, [row["unit"] for row in rows])
    full = []
    for number, (row, variant) in enumerate(zip(rows, names, strict=True)):
        assigned = row.get("variant", variant)
        full.append(
            {
                "request_id": f"{experiment.revision}-{number}",
                "service": experiment.service,
                "protocol": "rest",
                "experiment": experiment.name,
                "revision": experiment.revision,
                "variant": assigned,
                "served": assigned,
                "reason": "",
                "status": 200,
                "seconds": 0.01,
                "layer": "",
                "percent": shares.get(assigned, 0),
                **row,
            }
        )
    return pa.Table.from_pylist(full, EXPOSURE_SCHEMA)


def outcomes(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist([{"request_id": None, **row} for row in rows], OUTCOME_SCHEMA)


def days(
    experiment: Experiment,
    *,
    units: int,
    days: range,
    rates: Mapping[str, float],
    rng: np.random.Generator,
    visits: float = 1.0,
) -> tuple[pa.Table, pa.Table]:
    """Exposures and clicks of units that come back, each with a taste of its own.

    Args:
        experiment: that assigns them.
        units: how many.
        days: numbers of days.
        rates: chance of a click per variant, before the unit's own taste.
        rng: of everything.
        visits: requests of a unit and day on average.
    """
    names = [f"m{number}" for number in range(units)]
    taste = np.random.default_rng(9).gamma(4, 0.25, units)  # the same for every call
    variant = allocate(experiment, names)
    seen, done = [], []
    for day in days:
        for unit in np.repeat(np.arange(units), rng.poisson(visits * taste)):
            ts = day * DAY + int(rng.integers(DAY))
            number = len(seen)
            seen.append({"unit": names[unit], "ts": ts})
            if rng.random() < min(1.0, rates[str(variant[unit])] * taste[unit]):
                done.append(
                    {
                        "unit": names[unit],
                        "ts": ts + 1000,
                        "metric": "click",
                        "value": 1.0,
                        "request_id": f"{experiment.revision}-{number}",
                    }
                )
    return exposures(experiment, seen), outcomes(done)


def cells(
    rng: np.random.Generator,
    *,
    units: int,
    looks: int = 1,
    lift: float = 0.0,
    rate: float = 0.1,
    share: float = 0.5,
) -> tuple[list[Cells], np.ndarray]:
    """Draw units that come back, as known at several looks, and what they did before.

    Args:
        rng: of everything.
        units: in both variants.
        looks: after equal times.
        lift: of the treatment's click rate.
        rate: of clicks per request.
        share: of units in the treatment.
    """
    taste = rng.gamma(4, 0.25, units)
    treated = rng.random(units) < share
    chance = np.minimum(1, rate * taste * np.where(treated, 1 + lift, 1))
    before = rng.binomial(20, np.minimum(1, rate * taste)).astype(float)[:, None]
    requests, clicks = np.zeros(units), np.zeros(units)
    found = []
    for _ in range(looks):
        new = rng.poisson(3 * rng.gamma(2, 0.5, units))
        requests, clicks = requests + new, clicks + rng.binomial(new, chance)
        seen = np.flatnonzero(requests)
        found.append(
            Cells(
                epochs=["r"],
                variants=["control", "blue"],
                units=[str(unit) for unit in range(units)],
                epoch=np.zeros(len(seen), np.int64),
                variant=treated[seen].astype(np.int64),
                unit=seen,
                requests=requests[seen],
                sums={"ctr": clicks[seen], "apply": clicks[seen]},
            )
        )
    return found, before
