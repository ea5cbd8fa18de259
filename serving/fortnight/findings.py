"""What a replayed fortnight has shown: every experiment's analysis, and the paper's Table 7."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from components.experiments.analysis import analyse
from components.experiments.exposures import (
    EXPOSURE_SCHEMA,
    OUTCOME_SCHEMA,
    read_exposures,
    read_log,
    read_outcomes,
)
from components.experiments.manifest import Experiment
from components.experiments.result import Analysis, Comparison
from serving.fortnight.errors import FortnightError
from serving.fortnight.replay import AUDIENCE, CANDIDATES, RANKER, SUGGESTIONS

logger = logging.getLogger(__name__)

# A search follows a suggestion: what becomes of its results is an outcome of the suggestion too.
OUTCOMES_OF = {
    SUGGESTIONS: (SUGGESTIONS, RANKER),
    RANKER: (RANKER,),
    AUDIENCE: (AUDIENCE,),
    CANDIDATES: (CANDIDATES,),
}


class Published(NamedTuple):
    """A row of the paper's Table 7: lifts in percent.

    Attributes:
        use: as the paper names it.
        applies: lift of job applies.
        pch: lift of predicted confirmed hires.
    """

    use: str
    applies: float
    pch: float


TABLE_7 = {
    SUGGESTIONS: Published("Query recommendation", 1.35, 0.82),
    RANKER: Published("Job search ranking", 1.46, 1.5),
    AUDIENCE: Published("Notifications", 0.43, 1.45),
    CANDIDATES: Published("Candidate selection", 1.34, 0.93),
}


# Metrics of the experiments' analyses, in the order of `Row`.
METRICS = ("ctr", "apply", "pch")


class Row(NamedTuple):
    """A row of Table 7 as it came out here; None where there is nothing to compare.

    Attributes:
        analysis: of the experiment.
        variant: its treatment.
        clicks: per request.
        applies: per member.
        pch: predicted confirmed hires per member.
    """

    analysis: Analysis
    variant: str
    clicks: Comparison | None
    applies: Comparison | None
    pch: Comparison | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """A treatment that a guardrail took to 0 %.

    Attributes:
        experiment: its name.
        variant: of it.
        last_day: last day on which it was asked for at all.
        by_day: its requests per day, from the first.
    """

    experiment: str
    variant: str
    last_day: int
    by_day: list[int]


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything found.

    Attributes:
        days: replayed.
        requests: of the replay, all services.
        seconds: median and 99th percentile of a request, by service.
        analyses: of every experiment.
        compared: names of those that compare different models to the end: not an A/A test, nor one
            whose treatment was stopped.
        stopped: treatments that were taken to 0 % while the replay went on.
    """

    days: int
    requests: int
    seconds: dict[str, tuple[float, float]]
    analyses: list[Analysis]
    compared: list[str]
    stopped: list[Stopped]

    def rows(self) -> list[Row]:
        """List the rows of Table 7."""
        found = []
        for service in TABLE_7:
            for analysis in self.analyses:
                if analysis.service == service and analysis.experiment in self.compared:
                    for figures in analysis.variants[1:]:
                        lifts = (_of(analysis, figures.variant, name) for name in METRICS)
                        found.append(Row(analysis, figures.variant, *lifts))
        return found


def find(experiments: Sequence[Experiment], *, state: Path, feed: Path) -> Findings:
    """Analyse every experiment of a replay.

    Args:
        experiments: as their manifests are now.
        state: directory of the replay and, as `router`, of the router.
        feed: what was known of the members before.

    Raises:
        FortnightError: no day is done, or the router's log does not hold all of its requests.
        ExperimentsError: a table is damaged.
    """
    requests = _requests(state)
    logged = _logged(state / "router" / "exposures", requests)
    own = read_exposures(state / "exposures")
    before = _before(feed)
    services = requests.group_by("service").aggregate([("seconds", "list")]).to_pylist()
    analyses = []
    for experiment in experiments:
        exposed = own if experiment.service == AUDIENCE else logged
        if not pc.any(pc.equal(exposed["experiment"], experiment.name)).as_py():
            continue
        tables = [
            read_outcomes(state / "outcomes" / name) for name in OUTCOMES_OF[experiment.service]
        ]
        analyses.append(analyse(experiment, exposed, pa.concat_tables(tables), before))
    return Findings(
        days=pc.max(requests["day"]).as_py(),
        requests=len(requests),
        seconds={row["service"]: _quantiles(row["seconds_list"]) for row in services},
        analyses=analyses,
        compared=[own.name for own in experiments if _compares(own)],
        stopped=[
            stopped
            for experiment in experiments
            for variant in experiment.treatments
            if not variant.percent
            and (stopped := _stopped(experiment, variant.name, requests)) is not None
        ],
    )


def write_json(findings: Findings, target: Path) -> None:
    """Write findings as JSON."""
    target.write_text(json.dumps(asdict(findings), indent=1) + "\n")


def _requests(state: Path) -> pa.Table:
    days = sorted((state / "days").glob("day-*"))
    if not days:
        raise FortnightError(f"{state}: no day of a replay is done")
    tables = []
    for number, day in enumerate(days, start=1):
        table = ds.dataset(day / "requests.parquet").to_table()
        tables.append(table.append_column("day", pa.repeat(number, len(table))))
    return pa.concat_tables(tables)


def _logged(exposures: Path, requests: pa.Table) -> pa.Table:
    """Keep the router's exposures of requests of whole days, shipped or still in its log."""
    tables = [read_log(path).table for path in sorted(exposures.rglob("*.jsonl"))]
    if any(exposures.rglob("*.parquet")):
        tables.append(read_exposures(exposures))
    table = pa.concat_tables(tables) if tables else EXPOSURE_SCHEMA.empty_table()
    kept = table.filter(pc.is_in(table["request_id"], requests["request_id"]))
    answered = requests.filter(pc.not_equal(requests["request_id"], ""))["request_id"]
    missing = len(answered) - pc.sum(pc.is_in(answered, kept["request_id"])).as_py()
    if missing:
        raise FortnightError(
            f"{exposures}: holds no exposure of {missing} of the replay's {len(answered)} requests"
        )
    return kept


def _before(feed: Path) -> pa.Table:
    """What members did before: it explains why some do more than others."""
    actions = ds.dataset(feed / "actions").to_table(["member_id", "ts", "action"])
    counted = actions.group_by(["member_id", "action"]).aggregate(
        [("ts", "max"), ([], "count_all")]
    )
    columns = [
        counted["member_id"],
        counted["ts_max"],
        pc.utf8_lower(counted["action"]),
        counted["count_all"].cast(pa.float64()),
        pa.nulls(len(counted), pa.string()),
    ]
    return pa.table(columns, schema=OUTCOME_SCHEMA)


def _compares(experiment: Experiment) -> bool:
    control = experiment.by_name[experiment.control].service
    return any(own.percent and own.service != control for own in experiment.treatments)


def _quantiles(seconds: list[float]) -> tuple[float, float]:
    half, most = pc.quantile(pa.array(seconds), [0.5, 0.99]).to_pylist()
    return half, most


def _stopped(experiment: Experiment, variant: str, requests: pa.Table) -> Stopped | None:
    own = requests.filter(
        pc.and_(
            pc.equal(requests["experiment"], experiment.name),
            pc.equal(requests["variant"], variant),
        )
    )
    if not len(own):
        return None
    counts = {row["values"]: row["counts"] for row in own["day"].value_counts().to_pylist()}
    days = pc.max(requests["day"]).as_py()
    by_day = [counts.get(day, 0) for day in range(1, days + 1)]
    return Stopped(experiment.name, variant, max(counts), by_day)


def _of(analysis: Analysis, variant: str, metric: str) -> Comparison | None:
    try:
        return analysis.of(variant, metric)
    except KeyError:
        return None
