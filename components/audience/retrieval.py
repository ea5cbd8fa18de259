"""Candidates of a posting: its exact matches, and the members nearest to the best of them.

The query vector is (a) the mean of the seeds, the best anchors' activity vectors, or (b) that of
the seeds and of every seed's own nearest neighbours (pseudo-relevance feedback), which is to drown
what is peculiar to one seed. Vectors have unit length, so that no member counts for more.

Source: paper, section 5.4.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.audience.config import AudienceConfig
from components.audience.matches import Matches
from components.neighbours.index import Found, Neighbours

_PAIRS_AT_ONCE = 65_536


class Pool(NamedTuple):
    """Candidates of some postings, one element per posting and member; arrays [m].

    They lie by posting: its neighbours, nearest first, then the exact matches that are not among
    them, the most relevant first.

    Attributes:
        posting: number of the posting.
        row: of the member in the index.
        similarity: cosine with the query vector.
        rank: place from 0 among the neighbours; -1 of who is not among them.
        exact: whether the member matches exactly, and `applied`, `searched`, `posted`, `headline`
            by what, as in `Matches`.
        anchors: exact matches of the posting.
    """

    posting: NDArray[np.int64]
    row: NDArray[np.int64]
    similarity: NDArray[np.float32]
    rank: NDArray[np.int64]
    exact: NDArray[np.bool_]
    applied: NDArray[np.int32]
    searched: NDArray[np.float32]
    posted: NDArray[np.float32]
    headline: NDArray[np.bool_]
    anchors: NDArray[np.int64]

    def select(self, wanted: NDArray) -> "Pool":
        """Return some of the candidates: those of a mask, or by number."""
        return Pool(*(column[wanted] for column in self))


def retrieve(
    index: Neighbours,
    matches: Sequence[Matches],
    config: AudienceConfig,
    *,
    unmatched: NDArray[np.float32] | None = None,
) -> Pool:
    """Find the candidates of each posting.

    Args:
        index: of members' activity vectors.
        matches: exact matches of each posting; their rows are the index's, of nobody removed.
        config: mechanism, anchors, feedback, neighbours and at_least.
        unmatched: query vectors of the postings, float32[q, d], for those that nobody matches
            exactly; these have no candidates when not given.
    """
    queries = _query_vectors(index, matches, config)
    if unmatched is not None:
        nobody = np.array([not len(match.rows) for match in matches])
        queries[nobody] = unmatched[nobody]
    found = index.search(queries, min(config.neighbours, len(index)), at_least=config.at_least)
    return _merged(index, matches, queries, found)


def retrieve_strangers(
    index: Neighbours, matches: Sequence[Matches], config: AudienceConfig, *, seed: int
) -> Pool:
    """Do as `retrieve`, with random members in place of the nearest: what chance would bring.

    Args:
        index: of members' activity vectors.
        matches: exact matches of each posting.
        config: mechanism, anchors, feedback and neighbours.
        seed: of the draws.
    """
    queries = _query_vectors(index, matches, config)
    count = min(config.neighbours, len(index))
    random = np.random.default_rng(seed)
    rows = np.array([random.choice(len(index), count, replace=False) for _ in matches])
    postings = np.repeat(np.arange(len(matches)), count)
    similarity = _cosines(index, queries, postings, rows.ravel()).reshape(rows.shape)
    order = np.argsort(-similarity, axis=1, kind="stable")
    rows = np.take_along_axis(rows, order, axis=1)
    rows[~queries.any(axis=1)] = -1
    return _merged(
        index, matches, queries, Found(rows, np.take_along_axis(similarity, order, axis=1))
    )


def mean_vectors(index: Neighbours, groups: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Return the mean of the unit vectors of each group of rows, float32[q, d]; zero for none."""
    means = np.zeros((len(groups), index.dimension), np.float32)
    for mean, group in zip(means, groups, strict=True):
        if len(group):
            mean[:] = index.vectors(group).mean(axis=0)
    return means


def with_neighbours(
    index: Neighbours, groups: Sequence[NDArray[np.int64]], neighbours: int
) -> list[NDArray[np.int64]]:
    """Join each group's rows with the nearest `neighbours` of each of them, everybody once."""
    every = np.unique(np.concatenate([np.zeros(0, np.int64), *groups]))
    if not len(every):
        return list(groups)
    # A seed finds itself too.
    found = index.search(index.vectors(every), min(neighbours + 1, len(index))).rows
    joined = [np.union1d(group, found[np.searchsorted(every, group)]) for group in groups]
    return [group[group >= 0] for group in joined]


def _query_vectors(
    index: Neighbours, matches: Sequence[Matches], config: AudienceConfig
) -> NDArray[np.float32]:
    seeds = [match.rows[: config.anchors] for match in matches]
    if config.mechanism == "feedback":
        seeds = with_neighbours(index, seeds, config.feedback)
    return mean_vectors(index, seeds)


def _merged(
    index: Neighbours, matches: Sequence[Matches], queries: NDArray[np.float32], found: Found
) -> Pool:
    """Merge those found for each posting with its exact matches."""
    posting, rank = np.nonzero(found.rows >= 0)
    row, similarity = found.rows[posting, rank], found.similarity[posting, rank]
    anchors = np.array([len(match.rows) for match in matches], np.int64)
    named = Matches(*map(np.concatenate, zip(*matches, strict=True)))
    named_posting = np.repeat(np.arange(len(matches)), anchors)
    near = posting * len(index) + row
    exact = named_posting * len(index) + named.rows
    others = ~np.isin(exact, near)
    key = np.concatenate([near, exact[others]])
    further = _cosines(index, queries, named_posting[others], named.rows[others])

    is_exact = np.isin(key, exact)
    order = np.argsort(exact)
    at = order[np.searchsorted(exact, key[is_exact], sorter=order)]
    evidence = [np.zeros(len(key), values.dtype) for values in named[1:]]
    for column, values in zip(evidence, named[1:], strict=True):
        column[is_exact] = values[at]
    posting, row = np.divmod(key, len(index))
    columns = [
        posting,
        row,
        np.concatenate([similarity, further]),
        np.concatenate([rank, np.full(others.sum(), -1)]),
        is_exact,
        *evidence,
        anchors[posting],
    ]
    by_posting = np.argsort(posting, kind="stable")
    return Pool._make(columns).select(by_posting)


def _cosines(
    index: Neighbours,
    queries: NDArray[np.float32],
    query: NDArray[np.int64],
    row: NDArray[np.int64],
) -> NDArray[np.float32]:
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    units = queries / np.where(lengths > 0, lengths, 1)
    cosines = np.empty(len(row), np.float32)
    for start in range(0, len(row), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        vectors = index.vectors(row[part])
        cosines[part] = np.einsum("md,md->m", vectors, units[query[part]])
    return cosines
