"""What `intent audience` prints: whom a posting would be sent to, or who is like a member."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.audience.audience import Audience
from components.audience.config import Mechanism
from components.encoder.embed import Embedder
from components.errors import IntentError
from components.neighbours.index import Neighbours
from pipelines.local.runs import Run


class AskedError(IntentError):
    """A question that has no answer; the message names what is missing."""


def show_audience(
    run: Run,
    *,
    posting: str | tuple[str | None, str],
    mechanism: Mechanism | None,
    k: int,
    console: Console,
) -> None:
    """Print the members to notify of a posting, best first.

    Args:
        run: a finished run.
        posting: its id, or its company and title.
        mechanism: of the query vector; the recipe's when not given.
        k: how many to print.
        console: where to print.

    Raises:
        IntentError: the run has no audience, or there is no such posting.
    """
    audience = Audience.open(
        run.path / "audience" / "audience",
        index=run.path / "neighbours" / "index",
        entities=run.path / "entities" / "entities",
        examples=run.path / "examples" / "examples",
        features=run.path / "features" / "now",
        embedder=Embedder.load(run.path / "finetune" / "encoder"),
    )
    found = audience.expand(posting, mechanism=mechanism)
    exact = sum(candidate.exact for candidate in found.candidates)
    console.print(Text(f"{found.title}, {found.company or 'no company'}", style="bold cyan"))
    console.print(
        f"  {len(found.candidates):,} members to notify, {exact:,} of {found.anchors:,} exact "
        f"matches among them; ranked by {found.ranked_by}",
        highlight=False,
    )
    if found.note:
        console.print(Text(f"  {found.note}"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "score", "similarity", "member", "why"):
        table.add_column(name)
    for place, candidate in enumerate(found.candidates[:k], start=1):
        table.add_row(
            f"    {place}",
            f"{candidate.score:.3f}",
            f"{candidate.similarity:.3f}",
            candidate.member_id,
            Text(candidate.why),
        )
    console.print(table)


def show_similar(run: Run, *, member: str, k: int, console: Console) -> None:
    """Print the members whose activity vectors are nearest to a member's.

    Args:
        run: a finished run.
        member: of the run's data.
        k: how many to print.
        console: where to print.

    Raises:
        IntentError: there is no such member in the index.
    """
    index = Neighbours.open(run.path / "neighbours" / "index")
    row = index.rows([member])
    if row[0] < 0:
        raise AskedError(f"{run.path.name}: the index holds no member {member!r}")
    rows, similarity = index.search(index.vectors(row), k + 1)
    console.print(Text(f"members like {member}", style="bold cyan"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    others = [
        (index.member_ids[int(at)].as_py(), value)
        for at, value in zip(rows[0], similarity[0], strict=True)
        if at >= 0 and at != row[0]
    ]
    for place, (name, value) in enumerate(others[:k], start=1):
        table.add_row(f"    {place}", f"{value:.3f}", name)
    console.print(table)
