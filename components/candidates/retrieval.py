"""What the clauses of members retrieve from the whole catalogue, and what of it they applied to."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.candidates.clauses import Clauses
from components.candidates.pairs import Applied
from components.candidates.postings import Postings
from components.candidates.weights import Weights

DEPTHS = (100, 500)


class Retrieval(NamedTuple):
    """What was retrieved for each of m members.

    Attributes:
        matched: postings that match any clause, int64[m].
        found: of the postings applied to later, those among the first of each of DEPTHS,
            int64[m, depths].
        applied: how many were applied to later, int64[m].
    """

    matched: NDArray[np.int64]
    found: NDArray[np.int64]
    applied: NDArray[np.int64]


def retrieve_for(
    members: NDArray[np.int64],
    clauses: Clauses,
    weights: Weights,
    rarity: NDArray[np.float32],
    postings: Postings,
    applied: Applied,
) -> Retrieval:
    """Retrieve for each member, without what he had applied to before."""
    of_clause = weights.of(clauses, rarity)
    matched, found, later = [], [], []
    for member in members.tolist():
        own = slice(clauses.offsets[member], clauses.offsets[member + 1])
        best = postings.retrieve(
            clauses.first[own],
            clauses.second[own],
            of_clause[own],
            max(DEPTHS),
            hidden=applied.before.of_row(member),
        )
        wanted = applied.later.of_row(member)
        right = np.isin(best.rows, wanted)
        matched.append(best.matched)
        found.append([right[:depth].sum() for depth in DEPTHS])
        later.append(len(wanted))
    return Retrieval(np.array(matched), np.array(found).reshape(-1, len(DEPTHS)), np.array(later))


def summarise(retrieval: Retrieval) -> dict[str, float]:
    """Return the median number of postings that matched, and the share of applications found."""
    every = max(int(retrieval.applied.sum()), 1)
    recall = retrieval.found.sum(axis=0) / every
    return {
        "retrieved": float(np.median(retrieval.matched)) if len(retrieval.matched) else 0.0,
        **{f"recall_{depth}": float(share) for depth, share in zip(DEPTHS, recall, strict=True)},
    }
