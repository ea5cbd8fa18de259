"""How trails and suggestions are printed: as in Figure 2 and Table 4 of the paper."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.evaluation.report import print_report
from pipelines.local.runs import Run, shown

TRAILS = Path("evaluate", "measured", "trails.json")
MEMBERS_SHOWN, ACTIONS_SHOWN = 2, 8


def show_report(run: Run, console: Console) -> None:
    """Print suggestions for some members, the tables of a finished run, and where its page is."""
    for trail in json.loads((run.path / TRAILS).read_text())[:MEMBERS_SHOWN]:
        console.print(Text(f"member {trail['member']}", style="bold cyan"))
        print_trail(trail["sessions"], console, most=3)
        for title, suggestions in trail["suggestions"].items():
            rows = ((s["text"], s["score"], s["text"] in trail["past"]) for s in suggestions)
            print_suggestions(title, rows, console)
        console.print()
    print_report(json.loads((run.path / "report.json").read_text()), console)
    page = shown(run.path / "report.html")
    console.print(f"report: {page}", highlight=False, soft_wrap=True)


def print_trail(sessions: Sequence[Sequence[str]], console: Console, *, most: int) -> None:
    """Print the last sessions of a trail.

    Args:
        sessions: rendered actions per session, such as `VIEW c_acme_inc data engineer`.
        console: where to print.
        most: how many sessions.
    """
    if len(sessions) > most:
        console.print(Text(f"  ... {len(sessions) - most} earlier sessions", style="dim"))
    for number, session in list(enumerate(sessions, start=1))[-most:]:
        console.print(Text(f"  session {number}", style="bold"))
        for line in session[:ACTIONS_SHOWN]:
            action, _, text = line.partition(" ")
            console.print(Text.assemble("    ", (action, "cyan"), " ", text), soft_wrap=True)
        if len(session) > ACTIONS_SHOWN:
            more = f"    ... {len(session) - ACTIONS_SHOWN} more actions"
            console.print(Text(more, style="dim"))


def print_suggestions(
    title: str, suggestions: Iterable[tuple[str, float, bool]], console: Console
) -> None:
    """Print ranked suggestions.

    Args:
        title: the surface.
        suggestions: text, score, and whether the trail already holds it; best first.
        console: where to print.
    """
    console.print(Text(f"  {title}", style="bold"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for rank, (text, score, past) in enumerate(suggestions, start=1):
        table.add_row(
            f"    {rank}", f"{score:.3f}", Text(text), Text("done before" if past else "", "dim")
        )
    console.print(table)
