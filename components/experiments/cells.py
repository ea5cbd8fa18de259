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
    tables = {"drawn": drawn, "outcomes": conform(outcomes, OUTCOME_SCHEMA, "outcomes")}
    base = _query(_REQUESTS, tables, {})
    joined = _query(_OUTCOMES, tables, {"wanted": [m.outcome for m in metrics if m.outcome]})
    epochs = drawn["revision"].unique().to_pylist()
    variants = [v.name for v in experiment.variants]
    unknown = set(base["variant"].unique().to_pylist()) - set(variants)
    if unknown:
        raise ExperimentsError(
            f"exposures: {experiment.name} has no variant {sorted(unknown)[0]}: give the manifest "
            "that the exposures were made under"
        )
    units = base["unit"].unique()

    def codes(table: pa.Table) -> list[NDArray[np.int64]]:
        return [
            _places(table["revision"], pa.array(epochs, pa.string())),
            _places(table["variant"], pa.array(variants)),
            _places(table["unit"], units),
        ]

    shape = (max(1, len(epochs)), len(variants), max(1, len(units)))
    epoch, variant, unit = codes(base)
    key = np.ravel_multi_index((epoch, variant, unit), shape)
    order = np.argsort(key)
    wanted = np.ravel_multi_index(codes(joined), shape)
    rows = order[np.searchsorted(key, wanted, sorter=order)]
    names = _places(joined["metric"], pa.array([m.outcome or "" for m in metrics], pa.string()))
    own, values = joined["own"].to_numpy().astype(bool), joined["value"].to_numpy()
    sums = {}
    for metric in metrics:
        if metric.outcome is None:
            sums[metric.name] = base[metric.name].to_numpy().astype(np.float64)
            continue
        taken = names == [m.outcome for m in metrics].index(metric.outcome)
        if metric.per == "request":
            taken &= own
        sums[metric.name] = np.bincount(rows[taken], values[taken], len(key)).astype(np.float64)
    return Cells(
        epochs=epochs,
        variants=variants,
        units=units.to_pylist(),
        epoch=epoch,
        variant=variant,
        unit=unit,
        requests=base["requests"].to_numpy().astype(np.float64),
        sums=sums,
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

_REQUESTS = f"""
select revision, variant, unit, count(*) as requests,
  sum((reason like 'fallback:%' or status >= 500)::int) as {ERRORS.name},
  sum((reason like 'fallback:%')::int) as {FALLBACKS.name},
  sum(seconds) as {SECONDS.name}
from drawn group by all
"""

_OUTCOMES = """
with named as (
  select o.unit, o.ts, o.metric, o.value, o.request_id, d.revision, d.variant, d.unit as exposed
  from outcomes o left join (select distinct request_id, revision, variant, unit from drawn) d
    on o.request_id = d.request_id and o.unit = d.unit
  where list_contains($wanted, o.metric)
), followed as (
  select n.metric, n.value, n.unit, n.request_id is null as own, d.revision, d.variant
  from (select * from named where exposed is null) n
  asof join (select unit, ts, revision, variant from drawn) d on n.unit = d.unit and n.ts >= d.ts
)
select revision, variant, unit, metric, true as own, sum(value) as value
  from named where exposed is not null group by all
union all
select revision, variant, unit, metric, own, sum(value) as value
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
