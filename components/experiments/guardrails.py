"""Whether a treatment does what its guardrails forbid, surely enough to be stopped."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from components.experiments.cells import Cells, drawn_exposures, gather
from components.experiments.estimates import LEAST_UNITS, compare, mean_of
from components.experiments.manifest import Experiment, Guardrail
from components.experiments.metrics import metric
from components.experiments.sequential import always_valid_margin

ALPHA = 0.05
# Sizes of harm that the mixtures look for first: a quarter worse than control, twice a limit.
_TAU_WORSE, _TAU_LIMIT = 0.25, 1.0


@dataclass(frozen=True, slots=True)
class Trip:
    """One guardrail that a treatment broke.

    Attributes:
        experiment: its name.
        variant: the treatment.
        metric: of the guardrail.
        value: the treatment's.
        bound: what the guardrail allows: a value, or control's value made so much worse.
        action: what the guardrail asks for: stop or report.
        reason: one sentence for people.
        at: when it was found, ISO 8601 in UTC.
    """

    experiment: str
    variant: str
    metric: str
    value: float
    bound: float
    action: str
    reason: str
    at: str


def check(experiment: Experiment, exposures: pa.Table, outcomes: pa.Table) -> list[Trip]:
    """Hold every treatment above 0 % to the guardrails.

    It may be called as often as wished: the bounds are always valid, so that a treatment that does
    no harm is stopped by a guardrail with a chance of at most ALPHA, however long it runs. Only
    exposures of the manifest's present revision count, so that a treatment that was mended and
    ramped anew is not stopped for its past.

    Args:
        experiment: whose guardrails are held.
        exposures: in EXPOSURE_SCHEMA; other experiments' may be among them.
        outcomes: in OUTCOME_SCHEMA.

    Returns:
        What tripped, in the order of the manifest. It is for the caller to act on `action`.

    Raises:
        ExperimentsError: a table is not what it should be.
    """
    if not _judged(experiment):
        return []
    return check_drawn(experiment, drawn_exposures(experiment, exposures), outcomes)


def check_drawn(experiment: Experiment, drawn: pa.Table, outcomes: pa.Table) -> list[Trip]:
    """Do what `check` does with exposures that `cells.drawn_exposures` picked already."""
    drawn = drawn.filter(pc.equal(drawn["revision"], experiment.revision))
    if not drawn.num_rows or not _judged(experiment):
        return []
    rails = experiment.guardrails
    cells = gather(experiment, drawn, outcomes, [metric(n) for n in {r.metric for r in rails}])
    return [
        trip
        for variant in _judged(experiment)
        for rail in rails
        if (trip := _tried(experiment, cells, variant, rail)) is not None
    ]


def _judged(experiment: Experiment) -> list[str]:
    if experiment.stopped or not experiment.guardrails:
        return []
    return [v.name for v in experiment.treatments if v.percent]


def _tried(experiment: Experiment, cells: Cells, variant: str, rail: Guardrail) -> Trip | None:
    own = cells.variant == cells.variants.index(variant)
    if cells.requests[own].sum() < rail.minimum_exposures or own.sum() < LEAST_UNITS:
        return None
    judged = _above_limit if rail.at_most is not None else _worse_than_control
    found = judged(experiment, cells, variant, rail)
    if found is None:
        return None
    value, bound, said = found
    return Trip(
        experiment=experiment.name,
        variant=variant,
        metric=rail.metric,
        value=value,
        bound=bound,
        action=rail.action,
        reason=f"{variant}: {metric(rail.metric).title} {value:.4g}, {said}",
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _above_limit(
    experiment: Experiment, cells: Cells, variant: str, rail: Guardrail
) -> tuple[float, float, str] | None:
    limit = rail.at_most or 0.0
    value, error = mean_of(cells, metric(rail.metric), variant)
    if value <= limit:
        return None
    if limit:
        margin = always_valid_margin(error / limit, alpha=ALPHA, tau=_TAU_LIMIT) * limit
        if value - margin <= limit:
            return None
    return value, limit, f"surely above the {limit:g} allowed"


def _worse_than_control(
    experiment: Experiment, cells: Cells, variant: str, rail: Guardrail
) -> tuple[float, float, str] | None:
    what, allowed = metric(rail.metric), (rail.no_worse_than or 0.0) / 100
    found = compare(cells, what, variant, experiment.control, cautious=True)
    if found is None or not found.enough:
        return None
    margin = always_valid_margin(found.null_error, alpha=ALPHA, tau=_TAU_WORSE)
    worse = -found.lift if what.more_is_better else found.lift
    if worse - margin <= allowed:
        return None
    bound = found.control_mean * (1 - allowed if what.more_is_better else 1 + allowed)
    return (
        found.mean,
        bound,
        f"surely more than {allowed:.0%} worse than {experiment.control}'s "
        f"{found.control_mean:.4g}",
    )
