"""Training on this machine: `intent run`, `daily` and `report`."""

import argparse
from pathlib import Path

from pipelines.commands.arguments import (
    CommandError,
    add_overrides,
    add_runs,
    add_which_run,
    finished_run,
    positive,
)
from pipelines.local import runs


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    _add_run(commands)
    _add_daily(commands)
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
    add_overrides(run)
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


def _add_daily(commands: argparse._SubParsersAction) -> None:
    day = commands.add_parser(
        "daily",
        help="bring vectors, entities and store up to date with a day's actions",
        description="Run the daily pipeline on this machine with the models of the last training "
        "run: only what is new of members' trails is encoded. Without --actions the generated "
        "marketplace goes on by a day: some of its members come back.",
    )
    day.add_argument(
        "--actions",
        metavar="PATH",
        help="the new actions: a file, a folder or a pattern; rows that are known count once",
    )
    day.add_argument(
        "--shards",
        metavar="N",
        type=positive,
        default=2,
        help="shards that members are embedded in (default: 2)",
    )
    day.add_argument(
        "--refresh-index-every",
        metavar="DAYS",
        type=positive,
        default=3,
        help="days from one index of members to the next (default: 3)",
    )
    add_which_run(day)
    day.set_defaults(do=_daily)


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


def _daily(options: argparse.Namespace) -> None:
    from tempfile import TemporaryDirectory

    from rich.console import Console

    from pipelines.local.day import launch_day, next_day
    from pipelines.recipe import load_recipe

    run = finished_run(options)
    recipe = load_recipe(str(run.settings))
    if options.actions is None and recipe.source.kind != "jobs":
        raise CommandError("say --actions: only the generated marketplace goes on by itself")
    with TemporaryDirectory() as aside:
        if options.actions is None:
            source = next_day(run, Path(aside, "day.parquet"), seed=recipe.seed)
        else:
            source = {"kind": "files", "path": options.actions}
        launch_day(
            run,
            source=source,
            shards=options.shards,
            refresh_index_every=options.refresh_index_every,
            console=Console(),
        )


def _report(options: argparse.Namespace) -> None:
    _show(finished_run(options))


def _show(run: runs.Run) -> None:
    from rich.console import Console

    from pipelines.show import show_report

    show_report(run, Console())
