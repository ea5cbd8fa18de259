"""Experiments: `intent experiment list`, `ramp`, `stop`, `status` and `analyse`."""

import argparse
from pathlib import Path

from pipelines.commands.arguments import add_runs
from pipelines.local import runs


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    experiment = commands.add_parser(
        "experiment",
        help="ramp, stop and analyse A/B tests",
        description="A/B tests of served variants. An experiment is a manifest that the router "
        "watches, a YAML file here and a resource on a cluster; these commands edit it where it "
        "lies, or read what it has shown.",
    )
    actions = experiment.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_list(actions)
    _add_ramp(actions)
    _add_stop(actions)
    _add_status(actions)
    _add_analyse(actions)


def _add_list(actions: argparse._SubParsersAction) -> None:
    listed = actions.add_parser("list", help="list all experiments, refused manifests too")
    _add_places(listed)
    listed.set_defaults(do=_list)


def _add_ramp(actions: argparse._SubParsersAction) -> None:
    ramp = actions.add_parser(
        "ramp",
        help="set the percentage of a variant",
        description="Set the percentage of units that a variant answers. Raising it only adds "
        "units; 0 takes it from everybody at once.",
    )
    ramp.add_argument("name", metavar="NAME", help="of the experiment")
    ramp.add_argument("variant", metavar="VARIANT", help="of the experiment")
    ramp.add_argument("percent", metavar="PERCENT", type=float, help="0 to 100, two decimals")
    _add_places(ramp)
    ramp.set_defaults(do=_ramp)


def _add_stop(actions: argparse._SubParsersAction) -> None:
    stop = actions.add_parser(
        "stop",
        help="give everybody the control at once",
        description="Throw an experiment's kill switch: everybody gets the control, the "
        "percentages stay as they are. --undo takes it back.",
    )
    stop.add_argument("name", metavar="NAME", help="of the experiment")
    stop.add_argument("--undo", action="store_true", help="take it back")
    _add_places(stop)
    stop.set_defaults(do=_stop)


def _add_status(actions: argparse._SubParsersAction) -> None:
    status = actions.add_parser("status", help="who answered how much, and which guardrails trip")
    status.add_argument("name", metavar="NAME", help="of the experiment")
    _add_places(status)
    _add_shown(status)
    status.set_defaults(do=_status)


def _add_analyse(actions: argparse._SubParsersAction) -> None:
    analyse = actions.add_parser(
        "analyse",
        help="say what an experiment has shown, with intervals and plots",
        description="Join exposures with outcomes and compare every variant with the control.",
    )
    analyse.add_argument("name", metavar="NAME", help="of the experiment")
    analyse.add_argument("--metric", metavar="NAME", help="that the verdict goes by")
    analyse.add_argument(
        "--pre",
        metavar="PATH",
        type=Path,
        help="outcomes of the same units from before the experiment: narrower intervals (CUPED)",
    )
    analyse.add_argument(
        "--html",
        metavar="FILE",
        type=Path,
        help="where to write the page (default: analysis-NAME.html)",
    )
    _add_places(analyse)
    _add_shown(analyse)
    analyse.set_defaults(do=_analyse)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--experiments",
        metavar="PLACE",
        help="a folder of manifests, or kubernetes:NAMESPACE for a cluster's experiments, "
        "kubernetes: for those of your own namespace (default: experiments, beside the runs)",
    )
    add_runs(parser)


def _add_shown(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--exposures",
        metavar="PATH",
        type=Path,
        help="Parquet that the router shipped (default: that of `intent serve`)",
    )
    parser.add_argument(
        "--outcomes",
        metavar="PATH",
        type=Path,
        help="Parquet of what followed: unit, ts, metric, value, request_id (likewise)",
    )


def _list(options: argparse.Namespace) -> None:
    from components.experiments.commands import list_experiments

    print(list_experiments(_place(options)))


def _ramp(options: argparse.Namespace) -> None:
    from components.experiments.commands import ramp_experiment

    print(ramp_experiment(_place(options), options.name, options.variant, options.percent))


def _stop(options: argparse.Namespace) -> None:
    from components.experiments.commands import stop_experiment

    print(stop_experiment(_place(options), options.name, stopped=not options.undo))


def _status(options: argparse.Namespace) -> None:
    from components.experiments.commands import status
    from components.experiments.places import SCHEME

    place, outcomes = _place(options), _outcomes(options)
    found = any(outcomes.rglob("*.parquet")) or options.outcomes
    elsewhere = str(place).startswith(SCHEME) and not options.exposures
    exposures = None if elsewhere else _exposures(options)
    print(status(place, options.name, exposures, outcomes if found else None))


def _analyse(options: argparse.Namespace) -> None:
    from components.experiments.commands import analyse_place
    from components.experiments.places import open_place

    page = options.html or Path(f"analysis-{options.name}.html")
    found = analyse_place(
        open_place(_place(options)),
        options.name,
        _exposures(options),
        _outcomes(options),
        html=page,
        pre=options.pre,
        primary=options.metric,
    )
    print(found.verdict)
    print(f"the whole analysis: {page}")


def _place(options: argparse.Namespace) -> Path | str:
    return options.experiments or options.runs / runs.EXPERIMENTS


def _exposures(options: argparse.Namespace) -> Path:
    return options.exposures or options.runs / runs.SERVE / "router" / "exposures" / "parquet"


def _outcomes(options: argparse.Namespace) -> Path:
    return options.outcomes or options.runs / runs.SERVE / "outcomes"
