"""What an experiment has shown: every metric of every variant, and one sentence of its meaning."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.experiments.cells import (
    NOT_DRAWN,
    Cells,
    covariates,
    drawn_exposures,
    gather_looks,
)
from components.experiments.errors import ExperimentsError
from components.experiments.estimates import Estimate, compare, mean_of
from components.experiments.exposures import EXPOSURE_SCHEMA, OUTCOME_SCHEMA, conform
from components.experiments.guardrails import check_drawn
from components.experiments.manifest import Experiment
from components.experiments.metrics import ERRORS, FALLBACKS, SECONDS, Metric, metric
from components.experiments.ratios import epochs
from components.experiments.result import Analysis, Comparison, Look, VariantFigures
from components.experiments.sequential import always_valid_margin, always_valid_p
from components.experiments.verdict import sentence
from components.files import whole_file

logger = logging.getLogger(__name__)

LEVEL = 0.95
LOOKS = 12


def analyse(
    experiment: Experiment,
    exposures: pa.Table,
    outcomes: pa.Table,
    pre: pa.Table | None = None,
    *,
    primary: str | None = None,
) -> Analysis:
    """Analyse an experiment.

    A unit counts for the variant it was assigned, whoever answered it in the end (intention to
    treat): a variant that often falls back to control is not better for it.

    Args:
        experiment: its manifest as it is now; exposures may be of earlier revisions.
        exposures: in EXPOSURE_SCHEMA; other experiments' may be among them.
        outcomes: in OUTCOME_SCHEMA; others' may be among them.
        pre: outcomes of the same units from before the experiment, in OUTCOME_SCHEMA, which
            explain away some of the variance.
        primary: metric that the verdict goes by; by default apply where anybody applied, else
            clicks per request.

    Raises:
        ExperimentsError: a table is not what it should be, there is no exposure of the experiment,
            or the pre-period overlaps with it.
    """
    exposures = conform(exposures, EXPOSURE_SCHEMA, "exposures")
    outcomes = conform(outcomes, OUTCOME_SCHEMA, "outcomes")
    drawn = drawn_exposures(experiment, exposures)
    if not drawn.num_rows:
        raise ExperimentsError(f"{experiment.name}: no unit of it has been exposed yet")
    kinds = sorted(set(outcomes["metric"].unique().to_pylist()))
    metrics = [
        *([metric("ctr")] if "click" in kinds else []),
        *(metric(kind) for kind in kinds if kind != "click"),
        ERRORS,
        FALLBACKS,
        SECONDS,
    ]
    chosen = primary or ("apply" if "apply" in kinds else "ctr")
    if chosen not in {m.name for m in metrics}:
        metrics.insert(0, metric(chosen))
    known = gather_looks(experiment, drawn, outcomes, metrics, looks=LOOKS)
    cells = known[-1]
    times = pc.min_max(drawn["ts"]).as_py()
    before = None if pre is None else covariates(cells, pre, first=times["min"])
    comparisons = _comparisons(experiment, cells, metrics, before)
    split = epochs(experiment, drawn, cells)
    trips = check_drawn(experiment, drawn, outcomes)
    analysis = Analysis(
        experiment=experiment.name,
        service=experiment.service,
        revision=experiment.revision,
        control=experiment.control,
        primary=chosen,
        first=times["min"],
        last=times["max"],
        variants=[_figures(cells, metrics, name) for name in _ordered(experiment)],
        comparisons=comparisons,
        epochs=split,
        excluded=_excluded(experiment, exposures),
        trips=trips,
        looks=_looks(experiment, known, metric(chosen), before, times),
        verdict=sentence(experiment, metric(chosen), comparisons, split, trips),
    )
    logger.info(
        "analysed experiment=%s revision=%s verdict=%r",
        experiment.name,
        experiment.revision,
        analysis.verdict,
    )
    return analysis


def write_analysis(analysis: Analysis, target: Path) -> None:
    """Write an analysis as JSON, whole or not at all."""
    with whole_file(target) as aside:
        aside.write_text(json.dumps(asdict(analysis), indent=2) + "\n")


def _comparisons(
    experiment: Experiment,
    cells: Cells,
    metrics: Sequence[Metric],
    before: NDArray[np.float64] | None,
) -> list[Comparison]:
    return [
        _comparison(experiment, treatment.name, one, found)
        for treatment in experiment.treatments
        for one in metrics
        if (found := _compared(cells, one, treatment.name, experiment.control, before))
    ]


def _compared(
    cells: Cells, one: Metric, treatment: str, control: str, before: NDArray[np.float64] | None
) -> Estimate | None:
    # What was clicked before explains what is clicked now, not how fast a server answers.
    known = None if one.outcome is None else before
    return compare(cells, one, treatment, control, before=known)


def _comparison(experiment: Experiment, treatment: str, one: Metric, found: Estimate) -> Comparison:
    from scipy.stats import norm

    reach = float(norm.ppf(0.5 + LEVEL / 2)) * found.lift_error
    margin = always_valid_margin(found.lift_error, alpha=_alpha(experiment))
    z = abs(found.lift) / found.null_error if found.null_error else np.inf
    always_p = 1.0
    if found.enough:
        treatments = len(experiment.treatments)
        always_p = min(1.0, treatments * always_valid_p(found.lift, found.null_error))
    return Comparison(
        variant=treatment,
        metric=one.name,
        mean=found.mean,
        control_mean=found.control_mean,
        lift=found.lift,
        low=found.lift - reach,
        high=found.lift + reach,
        p=float(2 * norm.sf(z)) if found.lift else 1.0,
        always_low=found.lift - margin,
        always_high=found.lift + margin,
        always_p=always_p,
        reduction=found.reduction,
        enough=found.enough,
    )


def _alpha(experiment: Experiment) -> float:
    return (1 - LEVEL) / max(1, len(experiment.treatments))


def _figures(cells: Cells, metrics: Sequence[Metric], variant: str) -> VariantFigures:
    own = cells.variant == cells.variants.index(variant)
    return VariantFigures(
        variant=variant,
        units=len(np.unique(cells.unit[own])),
        requests=int(cells.requests[own].sum()),
        means={one.name: mean_of(cells, one, variant)[0] for one in metrics},
    )


def _ordered(experiment: Experiment) -> list[str]:
    return [experiment.control, *(v.name for v in experiment.treatments)]


def _excluded(experiment: Experiment, exposures: pa.Table) -> dict[str, int]:
    own = exposures.filter(pc.equal(exposures["experiment"], experiment.name))
    counted = own["reason"].value_counts().to_pylist()
    return {row["values"]: row["counts"] for row in counted if row["values"] in NOT_DRAWN}


def _looks(
    experiment: Experiment,
    known: Sequence[Cells],
    one: Metric,
    before: NDArray[np.float64] | None,
    times: Mapping[str, int],
) -> list[Look]:
    """Compare the primary metric as of several times, each with what was known then."""
    ends = np.linspace(times["min"], times["max"], len(known) + 1)[1:].astype(np.int64)
    return [
        Look(row.variant, int(end), row.lift, row.always_low, row.always_high)
        for cells, end in zip(known, ends, strict=True)
        for row in _comparisons(experiment, cells, [one], before)
        if row.enough
    ]
