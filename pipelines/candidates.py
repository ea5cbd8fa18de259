"""What `intent candidates` prints: a member's clauses, and the postings that they retrieve."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.candidates.candidates import Candidates
from pipelines.local.runs import Run

CLAUSES = 12
"""Clauses printed; a member may have a hundred, most of which weigh next to nothing."""


def show_candidates(run: Run, *, member: str, variant: str, k: int, console: Console) -> None:
    """Print the clauses of a member, the heaviest first, and his postings, the best first.

    Args:
        run: a finished run.
        member: of the run's data; somebody unknown gets popular postings.
        variant: "baseline", "fasttext" or "finetuned".
        k: postings to print.
        console: where to print.

    Raises:
        IntentError: the run has no candidates, or they are damaged.
    """
    candidates = Candidates.open(run.path / "candidates" / "candidates" / variant)
    selection = candidates.select(member, k=k)
    console.print(Text(f"candidates for {member}, by {variant}", style="bold cyan"))
    if selection.note:
        console.print(Text(f"  {selection.note}"))
    if selection.clauses:
        clauses = _table("weight", "clause", "in words", "from")
        for clause in selection.clauses[:CLAUSES]:
            words = Text(clause.words), Text(clause.source)
            clauses.add_row("", f"{clause.weight:.3f}", Text(clause.text), *words)
        console.print(clauses)
        if len(selection.clauses) > CLAUSES:
            console.print(f"    and {len(selection.clauses) - CLAUSES} more", highlight=False)
    postings = _table("P(apply)", "posting", "title", "company", "most of all for")
    for place, candidate in enumerate(selection.candidates, start=1):
        said = candidates.posting(candidate.item_id)
        named = (Text(text or "") for text in (candidate.item_id, said.title, said.company))
        why = Text(candidate.why[0] if candidate.why else "")
        postings.add_row(f"    {place}", f"{candidate.score:.4f}", *named, why)
    console.print(postings)


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", *names):
        table.add_column(name)
    return table
