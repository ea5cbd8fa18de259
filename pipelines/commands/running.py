"""Training on this machine: `intent run` and `report`."""

import argparse

from pipelines.commands.arguments import add_runs, add_which_run, finished_run, setting
from pipelines.local import runs


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    _add_run(commands)
    _add_report(commands)


def _add_run(commands: argparse._SubParsersAction) -> None:
    run = commands.add_parser(
        "run",
        help="train and evaluate everything on this machine",
        description="Run the training pipeline on this machine, from actions to the report.\n"
        "A run that was stopped or failed is continued with --resume.",
        epilog="examples:\n"
        "  intent run\n"
        "  intent run --recipe shopping --set pretrain.epochs=0.5 --set seed=7\n"
        "  intent run --recipe shopping --resume\n"
        "  intent run --resume latest --set slice.neighbours=300",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help="a recipe that comes with the product, or a YAML file (default: quickstart)",
    )
    run.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=setting,
        help="change one setting of the recipe, by its dotted key; may be repeated",
    )
    run.add_argument(
        "--resume",
        metavar="RUN",
        nargs="?",
        const="",
        help="continue a run, skipping its finished steps as long as nothing they depend on "
        "changed; without RUN, the recipe's newest unfinished one",
    )
    add_runs(run)
    run.set_defaults(do=_run)


def _add_report(commands: argparse._SubParsersAction) -> None:
    report = commands.add_parser(
        "report",
        help="print the tables of a finished run",
        description="Print the tables of a finished run and where its report with plots lies.",
    )
    add_which_run(report)
    report.set_defaults(do=_report)


def _run(options: argparse.Namespace) -> None:
    from rich.console import Console

    from pipelines.local.launch import launch

    run = launch(
        recipe=options.recipe,
        overrides=dict(options.overrides),
        resume=options.resume,
        root=options.runs,
        console=Console(),
    )
    _show(run)


def _report(options: argparse.Namespace) -> None:
    _show(finished_run(options))


def _show(run: runs.Run) -> None:
    from rich.console import Console

    from pipelines.show import show_report

    show_report(run, Console())
