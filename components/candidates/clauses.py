"""Boolean clauses of members: which attributes a posting must have, and why.

A clause is a title, a skill, or a title and a skill that a posting must both have. It comes from
one source: what a member says of himself, one kind of his actions, the entities predicted for him,
or the postings that members like him applied to. A member is retrieved the OR of his clauses.

Source: paper, section 4.4.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from components.candidates.attributes import Attributes
from components.candidates.errors import CandidatesError

HEADLINE, APPLIED, SAVED, VIEWED, SEARCHED, ENTITIES, SIMILAR = range(7)
SOURCES = ("headline", "applied", "saved", "viewed", "searched", "entities", "similar members")
EXPLICIT = {HEADLINE, APPLIED, SAVED, SEARCHED}
"""What production retrieved by: the profile, and what members do on purpose."""

BEHAVIOUR = {APPLIED, SAVED, VIEWED, SEARCHED}
"""Sources that are a member's own actions."""

TITLE, SKILL, PAIR = range(3)
KINDS = ("title", "skill", "title and skill")
_COLUMNS = (np.int8, np.int8, np.int16, np.float32, np.int32, np.int32)


class Evidence(NamedTuple):
    """What speaks for a member's clauses, before it is summed; arrays [n].

    Attributes:
        member: number; below 0 is nobody.
        source: index into SOURCES.
        first, second: attributes; `second` is -1 unless the clause needs both.
        weight: how much it speaks.
    """

    member: NDArray[np.int64]
    source: NDArray[np.int8]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    weight: NDArray[np.float32]


class Clauses(NamedTuple):
    """Clauses by member, source and kind, the strongest of these first; arrays [c].

    Attributes:
        offsets: int64[members + 1] into the others.
        source: int8, index into SOURCES.
        kind: int8, index into KINDS.
        rank: int16, place among those of the same member, source and kind, from 0.
        strength: float32, evidence as a share of that of the first of these.
        first, second: int32 attributes.
    """

    offsets: NDArray[np.int64]
    source: NDArray[np.int8]
    kind: NDArray[np.int8]
    rank: NDArray[np.int16]
    strength: NDArray[np.float32]
    first: NDArray[np.int32]
    second: NDArray[np.int32]

    @classmethod
    def of(
        cls, evidence: Sequence[Evidence], members: int, attributes: Attributes, *, top: int
    ) -> Self:
        """Sum evidence and keep the strongest clauses of each member, source and kind.

        Args:
            evidence: in any order.
            members: how many there are.
            attributes: that it names.
            top: clauses kept of each.
        """
        joined = Evidence(*map(np.concatenate, zip(*evidence, strict=True)))
        kept = (joined.member >= 0) & (joined.first >= 0)
        member, source, first, second, weight = (column[kept] for column in joined)
        width = len(attributes) + 1
        pairs, code = np.unique(first.astype(np.int64) * width + second + 1, return_inverse=True)
        keys = (member * len(SOURCES) + source) * len(pairs) + code
        keys, group = np.unique(keys, return_inverse=True)
        total = np.bincount(group, weights=weight, minlength=len(keys))

        whose, code = np.divmod(keys, max(len(pairs), 1))
        first, second = np.divmod(pairs[code], width)
        kind = np.where(second > 0, PAIR, np.where(first < len(attributes.titles), TITLE, SKILL))
        run = whose * len(KINDS) + kind
        order = np.lexsort((keys, -total, run))
        run, total = run[order], total[order]
        start = np.searchsorted(run, run)
        rank = np.arange(len(run)) - start
        strength = total / np.maximum(total[start], 1e-30)
        best = rank < top
        member, of_source = np.divmod(whose[order][best], len(SOURCES))
        return cls(
            np.searchsorted(member, np.arange(members + 1)),
            of_source.astype(np.int8),
            kind[order][best].astype(np.int8),
            rank[best].astype(np.int16),
            strength[best].astype(np.float32),
            first[order][best].astype(np.int32),
            (second - 1)[order][best].astype(np.int32),
        )

    @classmethod
    def none(cls, members: int = 1) -> Self:
        """Return no clauses of so many members."""
        nothing = (np.zeros(0, kind) for kind in _COLUMNS)
        return cls._make([np.zeros(members + 1, np.int64), *nothing])

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put together the clauses that the same members have from different sources."""
        owner = np.concatenate([part.owner() for part in parts])
        order = np.argsort(owner, kind="stable")
        offsets = np.searchsorted(owner[order], np.arange(len(parts[0].offsets)))
        together = zip(*(part[1:] for part in parts), strict=True)
        return cls._make([offsets, *(np.concatenate(column)[order] for column in together)])

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Map what `save` wrote.

        Raises:
            CandidatesError: a file is missing or damaged; names it.
        """
        return cls(*(load_array(directory / f"clauses.{field}.npy") for field in cls._fields))

    def save(self, directory: Path) -> None:
        """Write the arrays."""
        for field, array in self._asdict().items():
            np.save(directory / f"clauses.{field}.npy", array)

    def owner(self) -> NDArray[np.int64]:
        """Return the member of each clause."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def of_member(self, member: int) -> "Clauses":
        """Return the clauses of one member."""
        own = slice(self.offsets[member], self.offsets[member + 1])
        columns = [np.asarray(column[own]) for column in self[1:]]
        return Clauses._make([np.array([0, len(columns[0])]), *columns])

    def of_sources(self, sources: Collection[int]) -> "Clauses":
        """Return the clauses that come from some sources."""
        kept = np.isin(self.source, list(sources))
        offsets = np.append(0, np.cumsum(kept))[self.offsets]
        return Clauses._make([offsets, *(column[kept] for column in self[1:])])


def load_array(path: Path) -> NDArray:
    """Map an array.

    Raises:
        CandidatesError: the file is missing or damaged; names it.
    """
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise CandidatesError(f"{path}: missing or damaged: {error}") from error
