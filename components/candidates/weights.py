"""The weights of clauses: one light model of P(apply | member, posting) for all members.

A clause weighs what its source and kind, its rank and strength among its like, and the rarity of
its attributes say; a posting's log-odds are the sum over the clauses that it matches. Weights are
never negative, so that a posting cannot lose by matching more, and the model is linear in its
parameters: a logistic regression on sums over matched clauses (`fitting`).

Source: paper, sections 4.4 and 5.5; Borisyuk et al., CaSMoS, KDD 2016.
"""

import json
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from components.candidates.clauses import KINDS, SOURCES, Clauses
from components.candidates.errors import CandidatesError
from components.candidates.kernels import match
from components.candidates.postings import Lists

FACTS = ("matched", "rank", "strength", "rarity")
"""What is known of a clause: 1, the inverse of its place, its strength, and its rarity, 0 to 1."""

WIDTH = len(SOURCES) * len(KINDS) * len(FACTS)
FILE = "weights.json"


class Weights(NamedTuple):
    """Parameters of the model.

    Attributes:
        facts: float64[WIDTH], by source, kind and fact, none negative.
        base: log-odds where nothing matches, among all pairs.
        slope: of the curve from log-odds to the probability that a posting which the member is
            shown is applied to; not negative.
        offset: of that curve.
        threshold: log-odds from which a posting counts as retrieved for F1.
    """

    facts: NDArray[np.float64]
    base: float
    slope: float
    offset: float
    threshold: float

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            CandidatesError: the file is missing or damaged; names it.
        """
        path = directory / FILE
        try:
            said = json.loads(path.read_text())
            facts = np.array([said["facts"][name] for name in fact_names()], np.float64)
            return cls(facts, *(float(said[name]) for name in cls._fields[1:]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CandidatesError(f"{path}: missing or damaged: {error!r}") from error

    def save(self, directory: Path) -> None:
        """Write the parameters by name."""
        facts = dict(zip(fact_names(), self.facts.tolist(), strict=True))
        said = {"facts": facts, **{name: getattr(self, name) for name in self._fields[1:]}}
        (directory / FILE).write_text(json.dumps(said, indent=1) + "\n")

    def of(self, clauses: Clauses, rarity: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the weight of each clause, float32[c].

        Args:
            clauses: of any members.
            rarity: of attributes, see `rarity`.
        """
        columns, values = facts_of(clauses, rarity)
        own = self.facts[columns[:, None] + np.arange(len(FACTS))]
        return (own * values).sum(axis=1).astype(np.float32)

    def odds(self, facts: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the log-odds of pairs of these facts, [n, WIDTH], among all pairs."""
        return facts @ self.facts + self.base

    def probability(self, log_odds: NDArray) -> NDArray[np.float64]:
        """Return the probability that a posting shown is applied to."""
        return logistic(self.slope * np.asarray(log_odds, np.float64) + self.offset)


def fact_names() -> list[str]:
    """Name the parameters, in order: "applied, title: rank"."""
    return [f"{source}, {kind}: {fact}" for source in SOURCES for kind in KINDS for fact in FACTS]


def rarity_of(lists: Lists, postings: int) -> NDArray[np.float32]:
    """Return how rare each attribute is, float32[attributes]: 1 is had by one posting, 0 by all."""
    had = np.diff(lists.offsets)
    return (np.log(postings / np.maximum(had, 1)) / np.log(max(postings, 2))).astype(np.float32)


def facts_of(
    clauses: Clauses, rarity: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the first parameter of each clause, int64[c], and its facts, float32[c, FACTS]."""
    column = (clauses.source.astype(np.int64) * len(KINDS) + clauses.kind) * len(FACTS)
    both = np.where(clauses.second >= 0, rarity[clauses.second], 0)
    rare = np.minimum(rarity[clauses.first] + both, 1)
    place = 1 / (1 + clauses.rank.astype(np.float32))
    values = np.stack([np.ones_like(rare), place, clauses.strength, rare], axis=1)
    return column, values.astype(np.float32)


def matched_facts(
    clauses: Clauses,
    has: Lists,
    rarity: NDArray[np.float32],
    *,
    member: NDArray[np.int64],
    posting: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Sum the facts of the clauses that each pair matches, float32[n, WIDTH].

    Args:
        clauses: of all members.
        has: attributes of all postings.
        rarity: of the attributes.
        member: of each pair.
        posting: of each pair.
    """
    columns, values = facts_of(clauses, rarity)
    both = clauses.first, clauses.second
    return match(*has, posting, clauses.offsets, member, *both, columns, values, WIDTH)


def logistic(odds: NDArray) -> NDArray:
    """Return probabilities of log-odds."""
    return 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
