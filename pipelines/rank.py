"""What `intent rank` prints: postings for a search, ranked by the models of a finished run."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.encoder.vectors import MemberVectors
from components.errors import IntentError
from components.extreme.suggest import read_trail, rendered_sessions
from components.features.tables import FeatureTables, has_tables
from components.ranking.request import SearchRanker
from components.text.render import normalise
from pipelines.local.runs import Run
from pipelines.show import print_trail

RESULTS = 100


class RankError(IntentError):
    """A search that cannot be ranked; the message names what is missing."""


class _Member(NamedTuple):
    name: str
    vector: NDArray[np.float32] | None
    encoder: str


def show_ranking(
    run: Run,
    *,
    member: str | None,
    query: str | None,
    items: Sequence[str],
    k: int,
    console: Console,
) -> None:
    """Print the postings for a search, best first.

    Args:
        run: a finished run.
        member: who searches; None for somebody unknown.
        query: what for; the member's last search when not given.
        items: ids of the postings to rank; those whose words match the query when empty.
        k: how many to print.
        console: where to print.

    Raises:
        IntentError: the run has no ranker, there is no such member or posting, nobody and nothing
            is asked for, or no posting matches.
    """
    features = run.path / "features" / "now"
    if not has_tables(features):
        raise RankError(f"{run.path.name}: has no ranker: its source tells not what it showed")
    searcher = _member(run, member) if member is not None else None
    trail = read_trail(run.path / "sessions" / "sessions", member) if member is not None else None
    if query is None and trail is not None:
        searches = [text for text in trail["query"].to_pylist() if text]
        query = searches[-1] if searches else None
    if query is None:
        raise RankError(f"member {member} never searched: say --query" if member else "say --query")
    ranker = SearchRanker.open(
        run.path / "rank-vector" / "ranker", features, encoder=searcher and searcher.encoder
    )
    feed = run.path / "ingest" / "feed"
    found = _given(ranker.tables, items) if items else _matching(feed, query)
    if trail is not None:
        print_trail(rendered_sessions(trail), console, most=3)
    vector = searcher.vector if searcher else None
    scores = ranker.score(query, found, member=member, vector=vector)
    cold = ranker.score(query, found, member=member) if vector is not None else None
    console.print(Text(f"  “{query}”, {len(found)} postings", style="bold"))
    _print(ranker.tables, found, scores, cold, k, console)


def _member(run: Run, name: str) -> _Member:
    stored = MemberVectors.open(run.path / "vectors" / "vectors")
    row = stored.member_ids.index(name).as_py()
    vector = np.array(stored.vectors[row]) if row >= 0 else None
    return _Member(name, vector, stored.encoder)


def _given(tables: FeatureTables, items: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(items))
    unknown = [
        item for item, row in zip(distinct, tables.posting_rows(distinct), strict=True) if row < 0
    ]
    if unknown:
        raise RankError(f"the catalogue has no posting {', '.join(unknown)}")
    return distinct


def _matching(feed: Path, query: str) -> list[str]:
    """Find the postings whose words are most like the query's, as a search engine would."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    postings = pq.read_table(feed / "postings")
    texts = [""] * len(postings)
    for name in ("title", "company", "skills"):
        if name in postings.column_names:
            for row, said in enumerate(postings[name].to_pylist()):
                text = " ".join(said) if isinstance(said, list) else said or ""
                texts[row] += f" {normalise(text)}"
    words = TfidfVectorizer(dtype=np.float32)
    likeness = (words.fit_transform(texts) @ words.transform([normalise(query)]).T).toarray()[:, 0]
    best = np.argsort(-likeness, kind="stable")[:RESULTS]
    found = postings["item_id"].take(best[likeness[best] > 0]).to_pylist()
    if not found:
        raise RankError(f"no posting has a word of {query!r} in its title, company or skills")
    return list(dict.fromkeys(found))


def _print(
    tables: FeatureTables,
    items: list[str],
    scores: NDArray[np.float32],
    cold: NDArray[np.float32] | None,
    k: int,
    console: Console,
) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "score", "title", "company", "posting"):
        table.add_column(name)
    if cold is not None:
        table.add_column("cold", justify="right")
        places = np.empty(len(items), np.int64)
        places[np.argsort(-cold, kind="stable")] = np.arange(1, len(items) + 1)
    rows = tables.posting_rows(items)
    for place, at in enumerate(np.argsort(-scores, kind="stable")[:k], start=1):
        row = int(rows[at])
        before = [] if cold is None else [str(places[at])]
        table.add_row(
            f"    {place}",
            f"{scores[at]:.3f}",
            Text(tables.titles[row].as_py() or ""),
            Text(tables.companies[row].as_py() or ""),
            items[at],
            *before,
        )
    console.print(table)
    if cold is not None:
        console.print(Text("    cold: the place without the member's activity vector", style="dim"))
