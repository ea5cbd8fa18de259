"""The `intent` command. What a sub-command needs is imported when it runs, so `--help` is quick."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from components.errors import IntentError
from pipelines.local import runs

INTERRUPTED = 130
MENDABLE_BY_THE_USER = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}


class CommandError(IntentError):
    """A command line that cannot be carried out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 0, 1 after an error that the user can mend, 130 when interrupted.
    """
    options = _parser().parse_args(arguments)
    # TensorFlow tells the terminal which processor it found, unless asked not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        options.do(options)
    except IntentError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno not in MENDABLE_BY_THE_USER:
            raise
        return _fail(str(error))
    except KeyboardInterrupt as interrupt:
        print(f"\nintent: {str(interrupt) or 'stopped'}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _fail(message: str) -> int:
    print(f"intent: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="intent",
        description="From raw member actions to activity vectors and suggested searches.",
        epilog="`intent COMMAND --help` describes a command. Start with: intent run",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_report(commands)
    _add_suggest(commands)
    _add_rank(commands)
    _add_audience(commands)
    _add_compile(commands)
    return parser


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
        type=_override,
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
    _add_runs(run)
    run.set_defaults(do=_run)


def _add_report(commands: argparse._SubParsersAction) -> None:
    report = commands.add_parser(
        "report",
        help="print the tables of a finished run",
        description="Print the tables of a finished run and where its report with plots lies.",
    )
    _add_which_run(report)
    report.set_defaults(do=_report)


def _add_suggest(commands: argparse._SubParsersAction) -> None:
    suggest = commands.add_parser(
        "suggest",
        help="suggest searches for a member or for a few actions",
        description="Show a trail of actions and what the trained models suggest after it.",
    )
    who = suggest.add_mutually_exclusive_group(required=True)
    who.add_argument("--member", metavar="ID", help="a member of the run's data")
    who.add_argument(
        "--actions",
        metavar="FILE",
        type=Path,
        help="actions of a visitor whom the models never saw (CSV, JSON lines or Parquet)",
    )
    suggest.add_argument(
        "--surface",
        choices=("explore", "any"),
        default="explore",
        help="explore: no past queries among the suggestions; any: past queries may return "
        "(default: explore)",
    )
    _add_how_many(suggest, "suggestions", 5)
    _add_which_run(suggest)
    suggest.set_defaults(do=_suggest)


def _add_rank(commands: argparse._SubParsersAction) -> None:
    rank = commands.add_parser(
        "rank",
        help="rank postings for a search",
        description="Rank postings for a search, with the searcher's activity vector if known.",
        epilog="examples:\n"
        "  intent rank --query 'registered nurse' --member m00000042\n"
        "  intent rank --member m00000042                  (for that member's last search)\n"
        "  intent rank --query nurse --item j0000007 --item j0000012",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rank.add_argument("--query", metavar="TEXT", help="the search; the member's last if not given")
    rank.add_argument("--member", metavar="ID", help="who searches; somebody unknown if not given")
    rank.add_argument(
        "--item",
        dest="items",
        metavar="ID",
        action="append",
        default=[],
        help="a posting to rank, may be repeated; those that match the query if not given",
    )
    _add_how_many(rank, "postings", 10)
    _add_which_run(rank)
    rank.set_defaults(do=_rank)


def _add_audience(commands: argparse._SubParsersAction) -> None:
    audience = commands.add_parser(
        "audience",
        help="name the members to notify of a posting, or those like a member",
        description="Name the members to notify of a posting: those whom its words name, and "
        "those whose activity vectors are near theirs. Or those nearest to one member.",
        epilog="examples:\n"
        "  intent audience --job j0000007\n"
        "  intent audience --title 'ICU Nurse' --company 'Acme Hospitals' --mechanism feedback\n"
        "  intent audience --member m00000042",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = audience.add_mutually_exclusive_group(required=True)
    what.add_argument("--job", metavar="ID", help="a posting of the run's data")
    what.add_argument("--title", metavar="TEXT", help="a posting's title; --company says whose")
    what.add_argument("--member", metavar="ID", help="a member of the run's data")
    audience.add_argument("--company", metavar="NAME", help="the company of --title")
    audience.add_argument(
        "--mechanism",
        choices=("mean", "feedback"),
        help="query vector: mean of the best matches, or pseudo-relevance feedback "
        "(default: the recipe's)",
    )
    _add_how_many(audience, "members", 10)
    _add_which_run(audience)
    audience.set_defaults(do=_audience)


def _add_compile(commands: argparse._SubParsersAction) -> None:
    compile_ = commands.add_parser(
        "compile",
        help="write the pipeline for Kubeflow",
        description="Compile the training pipeline to the YAML that Kubeflow Pipelines runs.",
    )
    compile_.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        default=Path("training.yaml"),
        help="where to write it (default: training.yaml)",
    )
    compile_.set_defaults(do=_compile)


def _add_how_many(parser: argparse.ArgumentParser, what: str, default: int) -> None:
    parser.add_argument(
        "-k",
        metavar="N",
        type=_positive,
        default=default,
        help=f"how many {what} (default: {default})",
    )


def _add_which_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run",
        metavar="RUN",
        default=runs.LATEST,
        help="a run's name or directory (default: latest, the last one that finished)",
    )
    _add_runs(parser)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        default=runs.ROOT,
        help="where runs are kept (default: runs)",
    )


def _override(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key.strip(), value.strip()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


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
    _show(_finished_run(options))


def _show(run: runs.Run) -> None:
    from rich.console import Console

    from pipelines.show import show_report

    show_report(run, Console())


def _suggest(options: argparse.Namespace) -> None:
    run = _finished_run(options)

    from rich.console import Console

    from pipelines.suggest import show_suggestions

    show_suggestions(
        run,
        member=options.member,
        actions=options.actions,
        surface=options.surface,
        k=options.k,
        console=Console(),
    )


def _rank(options: argparse.Namespace) -> None:
    if not options.query and not options.member:
        raise CommandError("rank: say --query, --member or both")
    run = _finished_run(options)

    from rich.console import Console

    from pipelines.rank import show_ranking

    show_ranking(
        run,
        member=options.member,
        query=options.query,
        items=options.items,
        k=options.k,
        console=Console(),
    )


def _audience(options: argparse.Namespace) -> None:
    if options.company and not options.title:
        raise CommandError("audience: --company goes with --title")
    run = _finished_run(options)

    from rich.console import Console

    from pipelines.audience import show_audience, show_similar

    if options.member:
        show_similar(run, member=options.member, k=options.k, console=Console())
        return
    posting = options.job or (options.company, options.title)
    show_audience(run, posting=posting, mechanism=options.mechanism, k=options.k, console=Console())


def _finished_run(options: argparse.Namespace) -> runs.Run:
    run = runs.find(options.run, root=options.runs)
    if not run.finished:
        raise CommandError(f"{run.path.name} is not finished: intent run --resume {run.path.name}")
    return run


def _compile(options: argparse.Namespace) -> None:
    from kfp.compiler import Compiler

    from pipelines.training import training

    if options.output.suffix not in (".yaml", ".yml"):
        raise CommandError(f"{options.output}: the compiled pipeline is YAML, name it so")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    Compiler().compile(training, str(options.output))
    print(options.output)


if __name__ == "__main__":
    sys.exit(main())
