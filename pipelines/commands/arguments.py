"""What several commands ask for alike."""

import argparse
from pathlib import Path

from components.errors import IntentError
from pipelines.local import runs


class CommandError(IntentError):
    """A command line that cannot be carried out."""


def add_how_many(parser: argparse.ArgumentParser, what: str, default: int) -> None:
    """Ask how many rows to print."""
    parser.add_argument(
        "-k",
        metavar="N",
        type=positive,
        default=default,
        help=f"how many {what} (default: {default})",
    )


def add_which_run(parser: argparse.ArgumentParser) -> None:
    """Ask for a finished run, and where runs are kept."""
    parser.add_argument(
        "--run",
        metavar="RUN",
        default=runs.LATEST,
        help="a run's name or directory (default: latest, the last one that finished)",
    )
    add_runs(parser)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Ask where runs are kept."""
    parser.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        default=runs.ROOT,
        help="where runs are kept (default: runs)",
    )


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Ask which settings of the recipe are changed."""
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=setting,
        help="change one setting of the recipe, by its dotted key; may be repeated",
    )


def positive(text: str) -> int:
    """Read a number of at least 1."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def finished_run(options: argparse.Namespace) -> runs.Run:
    """Find the run that `add_which_run` asked for.

    Raises:
        RunError, CommandError: there is no such run, or it is not finished.
    """
    run = runs.find(options.run, root=options.runs)
    if not run.finished:
        raise CommandError(f"{run.path.name} is not finished: intent run --resume {run.path.name}")
    return run


def setting(text: str) -> tuple[str, str]:
    """Read KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key.strip(), value.strip()
