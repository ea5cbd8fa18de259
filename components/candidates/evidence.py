"""What speaks for clauses: profiles and actions, predicted entities, and expanded postings.

The same functions read a member's trail as of his cut, for learning and measuring, as of now, and
the actions of a visitor.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.candidates.attributes import Attributes
from components.candidates.clauses import (
    APPLIED,
    ENTITIES,
    HEADLINE,
    SAVED,
    SEARCHED,
    SIMILAR,
    VIEWED,
    Evidence,
)
from components.candidates.config import CandidatesConfig
from components.candidates.postings import Postings
from components.labels.trails import QUERY
from components.text.ragged import ragged_positions

ACTIONS = pa.schema(
    [
        pa.field("member", pa.int64()),
        pa.field("action", pa.string()),
        pa.field("query", pa.string()),
        pa.field("title", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("back", pa.int64()),
    ]
)
"""Members' actions; `back` counts from a member's latest action, which is 0."""

_SOURCES = ((VIEWED, "viewed"), (SAVED, "saved"), (APPLIED, "applied"))
_COMPANY_MARK = "c_"


class _Said(NamedTuple):
    """Clauses of distinct texts or postings, in runs.

    Attributes:
        offsets: int64[n + 1].
        first, second: attributes.
    """

    offsets: NDArray[np.int64]
    first: NDArray[np.int32]
    second: NDArray[np.int32]

    @classmethod
    def of(cls, clauses: Sequence[Sequence[tuple[int, int]]]) -> "_Said":
        offsets = np.cumsum([0, *map(len, clauses)])
        pairs = np.array([pair for own in clauses for pair in own], np.int32).reshape(-1, 2)
        return cls(offsets, pairs[:, 0], pairs[:, 1])

    def evidence(
        self, member: NDArray, source: NDArray | int, text: NDArray, weight: NDArray
    ) -> Evidence:
        """Return what members say who said these texts; text -1 says nothing."""
        source = np.broadcast_to(np.asarray(source, np.int8), len(member))
        kept = text >= 0
        text = text[kept]
        lengths = self.offsets[text + 1] - self.offsets[text]
        at = ragged_positions(self.offsets[text], lengths)
        columns = (member.astype(np.int64), source, weight.astype(np.float32))
        member, source, weight = (np.repeat(column[kept], lengths) for column in columns)
        return Evidence(member, source, self.first[at], self.second[at], weight)


def of_headlines(
    members: NDArray[np.int64], headlines: pa.ChunkedArray, attributes: Attributes
) -> Evidence:
    """Read what members call themselves."""
    texts, code = _distinct(headlines)
    said = _Said.of([_of_title(attributes.of_title(text)) for text in texts])
    return said.evidence(members, HEADLINE, code, np.ones(len(members)))


def of_actions(
    actions: pa.Table, attributes: Attributes, postings: Postings, config: CandidatesConfig
) -> Evidence:
    """Read members' actions, the more recent of which say more.

    A posting says its title and skills, each title that it has, and its full title with each of
    its skills; one that is no longer in the catalogue, its title alone.

    Args:
        actions: of ACTIONS.
        attributes: that texts are read as.
        postings: whose skills are known.
        config: actions of each source, half_life.
    """
    member = actions["member"].to_numpy()
    source = _sources(actions["action"], actions["query"], config)
    weight = 0.5 ** (actions["back"].to_numpy() / config.half_life)
    titles, title = _distinct(actions["title"])
    queries, query = _distinct(actions["query"])
    row = postings.ids.find(actions["item_id"])
    # A posting in the catalogue speaks for itself; of another its title is known.
    rows, posting = np.unique(row, return_inverse=True)
    posting = np.where(row >= 0, posting, -1)
    heard = source >= 0
    told = [
        (source == SEARCHED, query, _Said.of([_rewritten(attributes, text) for text in queries])),
        (
            (row < 0) & (source != SEARCHED),
            title,
            _Said.of([_of_title(attributes.of_title(text)) for text in titles]),
        ),
        (
            (row >= 0) & (source != SEARCHED),
            posting,
            _Said.of([of_posting(at, attributes, postings) for at in rows.tolist()]),
        ),
    ]
    parts = [
        said.evidence(member, source, np.where(wanted & heard, text, -1), weight)
        for wanted, text, said in told
    ]
    return Evidence(*map(np.concatenate, zip(*parts, strict=True)))


def of_entities(
    members: NDArray[np.int64],
    labels: NDArray[np.integer],
    scores: NDArray[np.floating],
    entities: Sequence[tuple[str, str]],
    attributes: Attributes,
    postings: Postings,
) -> Evidence:
    """Rewrite predicted entities: a query by its words, a posting by what it has.

    A posting that is not in the catalogue is rewritten by its title alone.

    Args:
        members: int64[n].
        labels: int[n, k], numbers of entities; -1 for none.
        scores: float[n, k].
        entities: kind and text of each.
        attributes: that texts are read as.
        postings: the catalogue.
    """
    known, code = np.unique(labels, return_inverse=True)
    named = (entities[at] if at >= 0 else (QUERY, "") for at in known.tolist())
    said = _Said.of([_of_entity(kind, text, attributes, postings) for kind, text in named])
    owner = np.repeat(members, labels.shape[1])
    return said.evidence(owner, ENTITIES, code.ravel(), scores.ravel())


def of_expanded(
    members: NDArray[np.int64],
    rows: NDArray[np.int64],
    similarity: NDArray[np.float32],
    attributes: Attributes,
    postings: Postings,
) -> Evidence:
    """Let members have the attributes of postings to which members like them applied.

    Args:
        members: int64[n], -1 for nobody.
        rows: int64[n], postings; -1 for one that is not in the catalogue.
        similarity: float32[n], of the member with the posting's first applicants.
        attributes: of the postings.
        postings: the catalogue.
    """
    known, posting = np.unique(rows, return_inverse=True)
    said = _Said.of([of_posting(at, attributes, postings) for at in known.tolist()])
    return said.evidence(members, SIMILAR, posting, np.maximum(similarity, 0))


def of_posting(row: int, attributes: Attributes, postings: Postings) -> list[tuple[int, int]]:
    """Return the clauses that a posting speaks for; none for row -1."""
    if row < 0:
        return []
    own = postings.has.of_row(row).tolist()
    skills = [at for at in own if at >= len(attributes.titles)]
    titles = attributes.of_title(postings.title(row))
    return [*_of_title(titles), *_of_title(skills), *((t, s) for t in titles[:1] for s in skills)]


def _of_title(titles: Sequence[int]) -> list[tuple[int, int]]:
    return [(title, -1) for title in titles]


def _of_entity(
    kind: str, text: str, attributes: Attributes, postings: Postings
) -> list[tuple[int, int]]:
    if kind == QUERY:
        return _rewritten(attributes, text)
    row = int(postings.names.find([text])[0])
    if row >= 0:
        return of_posting(row, attributes, postings)
    company, _, title = text.partition(" ")
    return _of_title(attributes.of_title(title if company.startswith(_COMPANY_MARK) else text))


def _rewritten(attributes: Attributes, text: str) -> list[tuple[int, int]]:
    titles, skills = attributes.rewrite(text)
    both = [(title, skill) for title in titles for skill in skills]
    return [*both, *_of_title([*titles, *skills])]


def _sources(
    actions: pa.ChunkedArray, queries: pa.ChunkedArray, config: CandidatesConfig
) -> NDArray[np.int8]:
    names, code = _distinct(actions)
    of_name = {name: source for source, own in _SOURCES for name in getattr(config, own)}
    source = np.array([of_name.get(name, -1) for name in names] + [-1], np.int8)[code]
    source[queries.is_valid().to_numpy()] = SEARCHED
    return source


def _distinct(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts of a column, and the number of each row's; -1 for none."""
    coded = column.combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.fill_null(-1).to_numpy().astype(np.int64)
