"""What the command line does with experiments: each function returns what it is to print."""

from pathlib import Path

from components.experiments.analysis import analyse, write_analysis
from components.experiments.exposures import OUTCOME_SCHEMA, read_exposures, read_outcomes
from components.experiments.guardrails import check
from components.experiments.manifest import Experiment, read_manifest
from components.experiments.page import write_page
from components.experiments.places import Place, open_place
from components.experiments.result import Analysis


def list_experiments(place: Path | str) -> str:
    """List a place's experiments, and what is refused with the reason.

    Args:
        place: as `places.open_place` takes it; so for the functions that follow.

    Raises:
        ExperimentsError: there is no such directory.
        ClusterError: the cluster cannot be read.
    """
    found = open_place(place).load()
    lines = [_line(e) for e in found]
    lines += [f"refused: {rejected.reason}" for rejected in found.rejected]
    return "\n".join(lines or [f"no experiments in {place}"])


def ramp_experiment(place: Path | str, name: str, variant: str, percent: float) -> str:
    """Set a treatment's percentage.

    Raises:
        ExperimentsError: there is no such experiment or treatment, or it may not be so.
        ClusterError: the cluster refuses it.
    """
    return _line(open_place(place).ramp(name, variant, percent))


def stop_experiment(place: Path | str, name: str, *, stopped: bool = True) -> str:
    """Throw the kill switch, or take it back.

    Raises:
        ExperimentsError: there is no such experiment.
        ClusterError: the cluster refuses it.
    """
    return _line(open_place(place).set_stopped(name, stopped))


def status(
    place: Path | str, name: str, exposures: Path | None, outcomes: Path | None = None
) -> str:
    """Say what an experiment is and whether a guardrail is broken.

    Args:
        place: see `list_experiments`.
        name: of the experiment.
        exposures: Parquet that the router shipped; None to say what the routers of a cluster say.
        outcomes: Parquet of what followed.

    Raises:
        ExperimentsError: there is no such experiment, or a table cannot be read.
        ClusterError: the cluster cannot be read.
    """
    opened = open_place(place)
    experiment = opened.read(name)
    if exposures is None:
        return "\n".join([_line(experiment), *(f"  {line}" for line in opened.told(name))])
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


def analyse_place(
    place: Place,
    name: str,
    exposures: Path,
    outcomes: Path,
    *,
    html: Path,
    result: Path | None = None,
    pre: Path | None = None,
    primary: str | None = None,
) -> Analysis:
    """Do what `analyse_files` does with an experiment of a place, whose status keeps the verdict.

    Args:
        place: of the experiment, from `places.open_place`.
        name: of the experiment.
        exposures: see `analyse_files`, as the rest.
        outcomes: likewise.
        html: likewise.
        result: likewise.
        pre: likewise.
        primary: likewise.

    Raises:
        ExperimentsError: there is no such experiment, a file cannot be read, or there is nothing
            to analyse.
        ClusterError: the cluster refuses it.
    """
    found = _analyse(
        place.read(name), exposures, outcomes, html=html, result=result, pre=pre, primary=primary
    )
    place.note_analysis(found)
    return found


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
    return _analyse(
        read_manifest(manifest),
        exposures,
        outcomes,
        html=html,
        result=result,
        pre=pre,
        primary=primary,
    )


def _analyse(
    experiment: Experiment,
    exposures: Path,
    outcomes: Path,
    *,
    html: Path,
    result: Path | None,
    pre: Path | None,
    primary: str | None,
) -> Analysis:
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
