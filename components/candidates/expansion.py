"""Postings expanded from their first applicants to members whose activity is like theirs, offline.

The query vector of a posting is the mean of the unit vectors of its initial applicants; the members
nearest to it, without these, are attributed to the posting, more the nearer they are.

Source: paper, section 4.4.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.candidates.config import CandidatesConfig
from components.neighbours.index import Neighbours
from components.progress import progress

_POSTINGS_AT_ONCE = 4096


class Expanded(NamedTuple):
    """Members attributed to postings; arrays [n].

    Attributes:
        rows: of the members in the index.
        postings: rows of the catalogue.
        similarity: cosine of the member and the posting's query vector.
    """

    rows: NDArray[np.int64]
    postings: NDArray[np.int64]
    similarity: NDArray[np.float32]


def expand(
    index: Neighbours,
    rows: NDArray[np.int64],
    postings: NDArray[np.int64],
    config: CandidatesConfig,
) -> Expanded:
    """Expand every posting that somebody in the index applied to.

    Args:
        index: of members' activity vectors.
        rows: int64[n], of applicants in the index, in order of time; -1 for one not in it.
        postings: int64[n], what each applied to, rows of the catalogue; -1 for none there.
        config: applicants that count, and members that a posting is expanded to.
    """
    known = (rows >= 0) & (postings >= 0)
    order = np.argsort(postings[known], kind="stable")
    posting, row = postings[known][order], rows[known][order]
    early = np.arange(len(posting)) - np.searchsorted(posting, posting) < config.applicants
    posting, row = posting[early], row[early]
    distinct, starts = np.unique(posting, return_index=True)
    ends = np.append(starts[1:], len(posting))
    parts = [Expanded(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    with progress("expand postings", total=len(distinct)) as bar:
        for at in range(0, len(distinct), _POSTINGS_AT_ONCE):
            block = slice(at, at + _POSTINGS_AT_ONCE)
            own = slice(starts[block][0], ends[block][-1])
            group = np.searchsorted(distinct[block], posting[own])
            parts.append(_expand(index, row[own], group, distinct[block], config))
            bar.advance(len(distinct[block]))
    return Expanded(*map(np.concatenate, zip(*parts, strict=True)))


def _expand(
    index: Neighbours,
    row: NDArray[np.int64],
    group: NDArray[np.int64],
    postings: NDArray[np.int64],
    config: CandidatesConfig,
) -> Expanded:
    members, column = np.unique(row, return_inverse=True)
    ones = np.ones(len(row), np.float32)
    applied = sp.csr_matrix((ones, (group, column)), (len(postings), len(members)))
    queries = applied @ index.vectors(members)
    found = index.search(queries, min(config.expanded + config.applicants, len(index)))
    initial = np.isin(
        found.rows + len(index) * np.arange(len(postings))[:, None], row + len(index) * group
    )
    new = (found.rows >= 0) & ~initial
    new &= np.cumsum(new, axis=1) <= config.expanded
    at, place = np.nonzero(new)
    return Expanded(found.rows[at, place], postings[at], found.similarity[at, place])
