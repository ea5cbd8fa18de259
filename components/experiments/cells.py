"""Exposures joined with what came of them, summed per unit and epoch: what statistics start from.

An outcome belongs to the exposure whose request it names. One that names none belongs to its unit's
latest exposure before it. One that names a request of something else does too, but counts per unit
only, not per request: an apply on a search page that a suggestion led to is of the suggestion's
variant, and a click there is no click on the suggestion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.experiments.errors import ExperimentsError
from components.experiments.exposures import (
    EXPOSURE_SCHEMA,
    NO_UNIT,
    OUTCOME_SCHEMA,
    OVERRIDE,
    STOPPED,
    conform,
)
from components.experiments.manifest import Experiment
from components.experiments.metrics import ERRORS, FALLBACKS, SECONDS, Metric

NOT_DRAWN = [OVERRIDE, NO_UNIT, STOPPED]


@dataclass(frozen=True, slots=True)
class Cells:
    """Sums of one experiment, a row per epoch, variant and unit.

    Attributes:
        epochs: revisions, in the order of their first exposure.
        variants: names.
        units: names.
        epoch: place in `epochs`, [n].
        variant: place in `variants` of the variant assigned, [n].
        unit: place in `units`, [n].
        requests: answered to the unit, float64 [n].
        sums: of each metric by its name, float64 [n].
    """

    epochs: list[str]
    variants: list[str]
    units: list[str]
    epoch: NDArray[np.int64]
    variant: NDArray[np.int64]
    unit: NDArray[np.int64]
    requests: NDArray[np.float64]
    sums: dict[str, NDArray[np.float64]]

    def numerator(self, metric: Metric) -> NDArray[np.float64]:
        """Give each row's sum of a metric."""
        return self.sums[metric.name]

    def denominator(self, metric: Metric) -> NDArray[np.float64]:
        """Give what each row's sum is divided by."""
        return self.requests if metric.per == "request" else np.ones(len(self.requests))


def drawn_exposures(experiment: Experiment, exposures: pa.Table) -> pa.Table:
    """Keep an experiment's exposures that count: drawn, not overridden, stopped or without unit.

    A request that is there twice, as when a log was shipped twice, is kept once.

    Raises:
        ExperimentsError: the table is not one of exposures.
    """
    table = conform(exposures, EXPOSURE_SCHEMA, "exposures")
    own = _query(_DRAWN, {"exposures": table}, {"name": experiment.name, "skipped": NOT_DRAWN})
    seen = _query("select count(distinct hash(request_id, ts, unit)) n from own", {"own": own}, {})
    if seen["n"][0].as_py() < own.num_rows:  # seldom, and finding which takes far longer
        own = _query(_ONCE, {"own": own}, {})
    return own.sort_by("ts")


def gather(
    experiment: Experiment, drawn: pa.Table, outcomes: pa.Table, metrics: Sequence[Metric]
) -> Cells:
    """Sum up exposures and outcomes.

    Args:
        experiment: that they are of.
        drawn: its exposures, from `drawn_exposures`.
        outcomes: of any units, requests and experiments.
        metrics: to sum.

    Raises:
        ExperimentsError: a table lacks a column, or exposures name a variant that is not in the
            manifest.
    """
    return gather_looks(experiment, drawn, outcomes, metrics, looks=1)[0]


def gather_looks(
    experiment: Experiment,
    drawn: pa.Table,
    outcomes: pa.Table,
    metrics: Sequence[Metric],
    *,
    looks: int,
) -> list[Cells]:
    """Sum up what was known at each of some times, the last of which is the whole.

    Args:
        experiment: as for `gather`.
        drawn: likewise.
        outcomes: likewise.
        metrics: likewise.
        looks: how many times, evenly from the first exposure to the last.

    Raises:
        ExperimentsError: as for `gather`.
    """
    tables = {"drawn": drawn, "outcomes": conform(outcomes, OUTCOME_SCHEMA, "outcomes")}
    span = pc.min_max(drawn["ts"]).as_py()
    times = {"looks": looks, "first": span["min"], "last": span["max"]}
    base = _query(_REQUESTS, tables, times)
    counted = [m.outcome for m in metrics if m.outcome]
    joined = _query(_OUTCOMES, tables, {**times, "wanted": counted})
    epochs = drawn["revision"].unique()
    variants = [v.name for v in experiment.variants]
    unknown = set(base["variant"].unique().to_pylist()) - set(variants)
    if unknown:
        raise ExperimentsError(
            f"exposures: {experiment.name} has no variant {sorted(unknown)[0]}: give the manifest "
            "that the exposures were made under"
        )
    units = base["unit"].unique()
    shape = (looks, len(epochs), len(variants), len(units))

    def keys(table: pa.Table) -> NDArray[np.int64]:
        among = {"revision": epochs, "variant": pa.array(variants), "unit": units}
        places = [_places(table[column], values) for column, values in among.items()]
        return np.ravel_multi_index((table["step"].to_numpy(), *places), shape)

    # An outcome may be of a later time than its unit's last request.
    found, rows = np.unique(np.concatenate([keys(base), keys(joined)]), return_inverse=True)
    seen, after = rows[: len(base)], rows[len(base) :]
    names = _places(joined["metric"], pa.array(counted, pa.string()))
    own, values = joined["own"].to_numpy().astype(bool), joined["value"].to_numpy()

    def total(metric: Metric) -> NDArray[np.float64]:
        if metric.outcome is None:
            return _totals(seen, base[metric.name].to_numpy(), len(found))
        taken = names == counted.index(metric.outcome)
        if metric.per == "request":
            taken &= own
        return _totals(after[taken], values[taken], len(found))

    requests = _totals(seen, base["requests"].to_numpy(), len(found))
    sums = {metric.name: total(metric) for metric in metrics}
    step = found // np.prod(shape[1:])
    named = (epochs.to_pylist(), variants, units.to_pylist())
    known = [step <= look for look in range(looks)]
    return [
        _cells(named, found[rows], requests[rows], {n: v[rows] for n, v in sums.items()})
        for rows in known
    ]


def _cells(
    names: tuple[list[str], list[str], list[str]],
    keys: NDArray[np.int64],
    requests: NDArray[np.float64],
    sums: dict[str, NDArray[np.float64]],
) -> Cells:
    """Add up rows of several times."""
    shape = tuple(map(len, names))
    found, rows = np.unique(keys % np.prod(shape), return_inverse=True)
    answered = _totals(rows, requests, len(found))
    there = answered > 0
    epoch, variant, unit = np.unravel_index(found[there], shape)
    return Cells(
        *names,
        epoch=epoch,
        variant=variant,
        unit=unit,
        requests=answered[there],
        sums={n: _totals(rows, v, len(found))[there] for n, v in sums.items()},
    )


def covariates(cells: Cells, before: pa.Table, *, first: int) -> NDArray[np.float64]:
    """Sum each unit's outcomes from before the experiment, float64 [units, kinds of outcome].

    Every kind may help to explain every metric.

    Args:
        cells: whose units are meant, in their order.
        before: outcomes of the pre-period.
        first: time of the experiment's first exposure, UTC microseconds.

    Raises:
        ExperimentsError: an outcome is not from before the experiment, so that a variant may have
            caused it.
    """
    table = conform(before, OUTCOME_SCHEMA, "pre-period")
    times = table["ts"].to_numpy()
    if len(times) and times.max() >= first:
        raise ExperimentsError(
            f"pre-period: an outcome at {times.max()} is not before the first exposure at {first}"
        )
    kinds = table["metric"].unique()
    summed = np.zeros((len(cells.units), len(kinds)))
    unit = _places(table["unit"], pa.array(cells.units, pa.string()))
    there = unit >= 0
    kind = _places(table["metric"], kinds)
    np.add.at(summed, (unit[there], kind[there]), table["value"].to_numpy()[there])
    return summed


def _totals(
    rows: NDArray[np.int64], values: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    return np.bincount(rows, values, count).astype(np.float64)


def _places(values: pa.ChunkedArray, among: pa.Array) -> NDArray[np.int64]:
    """Give the place of each value among others, int64 [n], -1 where it is not."""
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return found.to_numpy().astype(np.int64)


_DRAWN = """
select ts, request_id, revision, unit, variant, reason, status, seconds, percent
from exposures where experiment = $name and not list_contains($skipped, reason)
"""

_ONCE = """
select * from own qualify row_number() over (partition by request_id, ts, unit) = 1
"""

_STEP = "least($looks - 1, greatest(0, (ts - $first) * $looks // ($last - $first + 1)))"

_REQUESTS = f"""
select {_STEP} as step, revision, variant, unit, count(*)::double as requests,
  sum((reason like 'fallback:%' or status >= 500)::int)::double as {ERRORS.name},
  sum((reason like 'fallback:%')::int)::double as {FALLBACKS.name},
  sum(seconds) as {SECONDS.name}
from drawn group by all
"""

_OUTCOMES = f"""
with named as (
  select o.unit, o.ts, o.metric, o.value, o.request_id, d.revision, d.variant, d.unit as exposed
  from outcomes o left join (select distinct request_id, revision, variant, unit from drawn) d
    on o.request_id = d.request_id and o.unit = d.unit
  where list_contains($wanted, o.metric)
), followed as (
  select n.ts, n.metric, n.value, n.unit, n.request_id is null as own, d.revision, d.variant
  from (select * from named where exposed is null) n
  asof join (select unit, ts, revision, variant from drawn) d on n.unit = d.unit and n.ts >= d.ts
)
select {_STEP} as step, revision, variant, unit, metric, true as own, sum(value) as value
  from named where exposed is not null group by all
union all
select {_STEP} as step, revision, variant, unit, metric, own, sum(value) as value
  from followed group by all
"""


def _query(sql: str, tables: dict[str, pa.Table], values: dict) -> pa.Table:
    with _database().cursor() as cursor:
        for name, table in tables.items():
            cursor.register(name, table)
        return cursor.sql(sql, params=values).to_arrow_table()


@cache
def _database() -> Any:
    """Open a database in memory, once: that takes longer than most queries here."""
    import duckdb

    return duckdb.connect(config={"threads": 1})
