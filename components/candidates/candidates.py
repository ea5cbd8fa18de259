"""Candidates for a member: the postings that his clauses retrieve, the likeliest to apply first."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.candidates.clauses import BEHAVIOUR, ENTITIES, SOURCES, Clauses
from components.candidates.config import CandidatesConfig
from components.candidates.errors import CandidatesError
from components.candidates.evidence import ACTIONS, of_actions, of_entities
from components.candidates.package import Package, read_config
from components.candidates.postings import Lists
from components.candidates.weights import rarity_of

_NONE = Lists.of(np.zeros(0, np.int64), np.zeros(0, np.int64), 1)
_REASONS = 3
_GIVEN = ("action", "query", "title", "item_id")


class Candidate(NamedTuple):
    """A posting retrieved.

    Attributes:
        item_id: of the posting.
        score: P(apply | member, posting), 0 to 1, for a posting that he is shown.
        why: the clauses that it matches and that weigh most, in words.
    """

    item_id: str
    score: float
    why: list[str]


class Clause(NamedTuple):
    """A clause of a member.

    Attributes:
        text: as boolean expression over ids, `titleId:335 AND skillId:986`.
        weight: what matching it adds to the log-odds of an application.
        source: where it comes from, several by commas.
        words: what the ids stand for, "analyst + tmt".
    """

    text: str
    weight: float
    source: str
    words: str


class Posting(NamedTuple):
    """What a posting is called."""

    company: str | None
    title: str | None


class Selection(NamedTuple):
    """What was selected for a member.

    Attributes:
        candidates: best first.
        clauses: those that weigh anything, the heaviest first.
        note: what a reader has to know; mostly empty.
    """

    candidates: list[Candidate]
    clauses: list[Clause]
    note: str


class Candidates:
    """One variant opened for selecting; safe to use from several threads."""

    def __init__(self, package: Package, config: CandidatesConfig):
        """See `open`."""
        self._package, self._config = package, config
        self._rarity = rarity_of(package.postings.lists, len(package.postings))

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open a variant that `train_candidates` wrote.

        Raises:
            CandidatesError: the run has no candidates, or a file is missing or damaged; names it.
        """
        config = read_config(directory)
        return cls(Package.open(directory), config)

    def select(
        self,
        member_id: str | None,
        *,
        entities: Sequence[tuple[str, str, float]] | None = None,
        actions: Sequence[Mapping[str, Any]] | None = None,
        k: int = 100,
    ) -> Selection:
        """Select postings for a member, without those that he has applied to.

        Who has no clauses, or none that any posting matches, gets the postings most applied to.

        Args:
            member_id: who; None for a visitor.
            entities: kind, text and score of the entities predicted for him, best first, in place
                of those known to the package; a variant without entities does not read them.
            actions: his own, oldest first, in place of the behaviour known to the package: `action`
                with `query`, or with `title` and, where known, `item_id`.
            k: postings wanted.

        Raises:
            CandidatesError: k is below 1.
        """
        if k < 1:
            raise CandidatesError(f"k must be at least 1, not {k}")
        package = self._package
        number = -1 if member_id is None else int(package.members.find([member_id])[0])
        query = self._query(self._clauses(number, entities, actions))
        said = [self._said(query, at) for at in range(len(query.weight))]
        hidden = _NONE.of_row(0) if number < 0 else package.applied.of_row(number)
        found = package.postings.retrieve(*query[:3], k, hidden=hidden)
        if not len(found.rows):
            return Selection(self._popular(hidden, k), said, self._why_popular(number, said))
        scores = package.weights.probability(package.weights.base + found.scores)
        items = self._items(found.rows)
        chosen = [
            Candidate(item, float(score), self._why(int(row), query, said))
            for item, row, score in zip(items, found.rows, scores, strict=True)
        ]
        return Selection(chosen, said, "")

    def posting(self, item_id: str) -> Posting:
        """Return what a posting is called.

        Raises:
            CandidatesError: the catalogue has no such posting.
        """
        row = int(self._package.postings.ids.find([item_id])[0])
        if row < 0:
            raise CandidatesError(f"the catalogue has no posting {item_id!r}")
        table = self._package.postings.table
        return Posting(table["company"][row].as_py(), table["title"][row].as_py())

    def _clauses(
        self,
        number: int,
        entities: Sequence[tuple[str, str, float]] | None,
        actions: Sequence[Mapping[str, Any]] | None,
    ) -> Clauses:
        package = self._package
        evidence = []
        known = set(range(len(SOURCES)))
        if actions is not None:
            known -= BEHAVIOUR
            evidence.append(
                of_actions(_trail(actions), package.attributes, package.postings, self._config)
            )
        if entities is not None:
            known.discard(ENTITIES)
            given = entities[: self._config.entities]
            evidence.append(
                of_entities(
                    np.zeros(1, np.int64),
                    np.arange(len(given))[None],
                    np.array([score for _, _, score in given], np.float32)[None],
                    [(kind, text) for kind, text, _ in given],
                    package.attributes,
                    package.postings,
                )
            )
        parts = [package.clauses.of_member(number).of_sources(known)] if number >= 0 else []
        if evidence:
            top = self._config.clauses
            parts.append(Clauses.of(evidence, 1, package.attributes, top=top))
        return Clauses.join(parts or [Clauses.none()])

    def _query(self, clauses: Clauses) -> "_Query":
        """Weigh clauses, those of several sources together."""
        weight = self._package.weights.of(clauses, self._rarity)
        pairs = np.stack([clauses.first, clauses.second], axis=1)
        distinct, group = np.unique(pairs, axis=0, return_inverse=True)
        group = group.ravel()
        total = np.bincount(group, weights=weight, minlength=len(distinct))
        sources = [
            sorted({int(s) for s in clauses.source[(group == at) & (weight > 0)]})
            for at in range(len(distinct))
        ]
        order = [at for at in np.argsort(-total, kind="stable").tolist() if total[at] > 0]
        return _Query(
            distinct[order, 0].astype(np.int32),
            distinct[order, 1].astype(np.int32),
            total[order].astype(np.float32),
            [", ".join(SOURCES[source] for source in sources[at]) for at in order],
        )

    def _said(self, query: "_Query", at: int) -> Clause:
        attributes = self._package.attributes
        own = [int(n) for n in (query.first[at], query.second[at]) if n >= 0]
        return Clause(
            " AND ".join(attributes.name(number) for number in own),
            float(query.weight[at]),
            query.sources[at],
            " + ".join(attributes.text(number) for number in own),
        )

    def _why(self, row: int, query: "_Query", said: list[Clause]) -> list[str]:
        own = {-1, *self._package.postings.has.of_row(row).tolist()}
        both = zip(query.first.tolist(), query.second.tolist(), said, strict=True)
        matched = (clause for first, second, clause in both if first in own and second in own)
        return [f"{clause.words} ({clause.source})" for clause in islice(matched, _REASONS)]

    def _popular(self, hidden: NDArray[np.int32], k: int) -> list[Candidate]:
        package = self._package
        rows = package.popular[~np.isin(package.popular, hidden)][:k]
        score = float(package.weights.probability(np.array(package.weights.base)))
        return [Candidate(item, score, ["many applied to it"]) for item in self._items(rows)]

    def _items(self, rows: NDArray[np.int32]) -> list[str]:
        return self._package.postings.table["item_id"].take(pa.array(rows)).to_pylist()

    @staticmethod
    def _why_popular(number: int, said: list[Clause]) -> str:
        if said:
            return "no posting matches what is known: the postings most applied to"
        who = "this member" if number >= 0 else "somebody unknown"
        return f"nothing is known of {who} to select by: the postings most applied to"


class _Query(NamedTuple):
    """Distinct clauses with a weight, the heaviest first.

    Attributes:
        first, second: int32 attributes.
        weight: float32.
        sources: where each comes from, in words.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    weight: NDArray[np.float32]
    sources: list[str]


def _trail(actions: Sequence[Mapping[str, Any]]) -> pa.Table:
    columns = {name: [action.get(name) for action in actions] for name in _GIVEN}
    columns["member"] = [0] * len(actions)
    columns["back"] = [*reversed(range(len(actions)))]
    return pa.table({name: columns[name] for name in ACTIONS.names}, schema=ACTIONS)
