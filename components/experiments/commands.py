"""What the command line does with experiments: each function returns what it is to print."""

from pathlib import Path

from components.experiments.analysis import analyse, write_analysis
from components.experiments.edit import find_manifest, ramp, set_stopped
from components.experiments.experiments import load_experiments
from components.experiments.exposures import OUTCOME_SCHEMA, read_exposures, read_outcomes
from components.experiments.guardrails import check
from components.experiments.manifest import Experiment, read_manifest
from components.experiments.page import write_page
from components.experiments.result import Analysis


def list_experiments(directory: Path) -> str:
    """List a directory's experiments, and what is refused with the reason.

    Raises:
        ExperimentsError: there is no such directory.
    """
    found = load_experiments(directory)
    lines = [_line(e) for e in found]
    lines += [f"refused: {rejected.reason}" for rejected in found.rejected]
    return "\n".join(lines or [f"no experiments in {directory}"])


def ramp_experiment(directory: Path, name: str, variant: str, percent: float) -> str:
    """Set a treatment's percentage.

    Raises:
        ExperimentsError: there is no such experiment or treatment, or it may not be so.
    """
    return _line(ramp(find_manifest(directory, name), variant, percent))


def stop_experiment(directory: Path, name: str, *, stopped: bool = True) -> str:
    """Throw the kill switch, or take it back.

    Raises:
        ExperimentsError: there is no such experiment.
    """
    return _line(set_stopped(find_manifest(directory, name), stopped))


def status(directory: Path, name: str, exposures: Path, outcomes: Path | None = None) -> str:
    """Say what an experiment is and whether a guardrail is broken.

    Raises:
        ExperimentsError: there is no such experiment, or a table cannot be read.
    """
    experiment = read_manifest(find_manifest(directory, name))
    own = read_exposures(exposures, experiment=name)
    done = read_outcomes(outcomes) if outcomes else OUTCOME_SCHEMA.empty_table()
    trips = check(experiment, own, done)
    counted = own.group_by(["variant", "reason"]).aggregate([([], "count_all")])
    lines = [_line(experiment)]
    for row in sorted(counted.to_pylist(), key=lambda row: (row["variant"], row["reason"])):
        reason = f" ({row['reason']})" if row["reason"] else ""
        lines.append(f"  {row['variant']}{reason}: {row['count_all']:,} requests")
    lines += [f"  guardrail: {trip.reason}" for trip in trips]
    return "\n".join(lines)


def analyse_files(
    manifest: Path,
    exposures: Path,
    outcomes: Path,
    *,
    html: Path,
    result: Path | None = None,
    pre: Path | None = None,
    primary: str | None = None,
) -> Analysis:
    """Analyse an experiment from files, and write the page.

    Args:
        manifest: of the experiment.
        exposures: Parquet file or directory.
        outcomes: Parquet file or directory.
        html: page to write.
        result: JSON to write, if any.
        pre: outcomes from before the experiment, if there are.
        primary: metric that the verdict goes by; see `analysis.analyse`.

    Raises:
        ExperimentsError: a file cannot be read, or there is nothing to analyse.
    """
    experiment = read_manifest(manifest)
    found = analyse(
        experiment,
        read_exposures(exposures, experiment=experiment.name),
        read_outcomes(outcomes),
        read_outcomes(pre) if pre else None,
        primary=primary,
    )
    write_page(experiment, found, html)
    if result is not None:
        write_analysis(found, result)
    return found


def _line(experiment: Experiment) -> str:
    shares = ", ".join(f"{v.name} {v.percent:g} %" for v in experiment.treatments)
    layer = experiment.layer
    inside = f"; {layer.start:g} to {layer.start + layer.size:g} % of {layer.name}" if layer else ""
    stopped = "; STOPPED, everybody gets control" if experiment.stopped else ""
    return (
        f"{experiment.name} ({experiment.service}): control {experiment.control}, "
        f"{shares or 'no treatments'}{inside}{stopped}"
    )
