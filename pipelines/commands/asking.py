"""Asking a finished run: `intent suggest`, `rank`, `audience` and `candidates`."""

import argparse
from pathlib import Path

from pipelines.commands.arguments import CommandError, add_how_many, add_which_run, finished_run


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    _add_suggest(commands)
    _add_rank(commands)
    _add_audience(commands)
    _add_candidates(commands)


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
    add_how_many(suggest, "suggestions", 5)
    add_which_run(suggest)
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
    add_how_many(rank, "postings", 10)
    add_which_run(rank)
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
    add_how_many(audience, "members", 10)
    add_which_run(audience)
    audience.set_defaults(do=_audience)


def _add_candidates(commands: argparse._SubParsersAction) -> None:
    candidates = commands.add_parser(
        "candidates",
        help="select postings to recommend to a member, and tell by which clauses",
        description="Print a member's boolean clauses over titles and skills with their weights, "
        "and the postings that they retrieve, the likeliest application first.",
        epilog="examples:\n"
        "  intent candidates --member m00000042\n"
        "  intent candidates --member m00000042 --variant baseline -k 20",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    candidates.add_argument(
        "--member", metavar="ID", required=True, help="a member of the run's data, or anybody"
    )
    candidates.add_argument(
        "--variant",
        choices=("baseline", "fasttext", "finetuned"),
        default="finetuned",
        help="whose predicted entities make clauses beside those of profile and actions "
        "(default: finetuned)",
    )
    add_how_many(candidates, "postings", 10)
    add_which_run(candidates)
    candidates.set_defaults(do=_candidates)


def _suggest(options: argparse.Namespace) -> None:
    run = finished_run(options)

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
    run = finished_run(options)

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
    run = finished_run(options)

    from rich.console import Console

    from pipelines.audience import show_audience, show_similar

    if options.member:
        show_similar(run, member=options.member, k=options.k, console=Console())
        return
    posting = options.job or (options.company, options.title)
    show_audience(run, posting=posting, mechanism=options.mechanism, k=options.k, console=Console())


def _candidates(options: argparse.Namespace) -> None:
    run = finished_run(options)

    from rich.console import Console

    from pipelines.candidates import show_candidates

    show_candidates(
        run, member=options.member, variant=options.variant, k=options.k, console=Console()
    )
