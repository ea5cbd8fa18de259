"""The nearest of all vectors, by blocked matrix products.

A product's last bits depend on how its rows were blocked, so it only chooses candidates; their
similarities are then computed one by one, always in the same order.
"""

from contextlib import AbstractContextManager
from functools import cache

import numba
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

QUERIES_AT_ONCE = 256
VECTORS_AT_ONCE = 2048
SPARE = 16
"""Candidates beyond k, so that rounding cannot decide between those that tie."""
GLANCE = 64
"""Scores looked at together: most hold nothing better than what was found already."""


def search(
    vectors: NDArray[np.float32],
    shown: NDArray[np.bool_],
    queries: NDArray[np.float32],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places of the nearest vectors, int64[q, k], and similarities, float32[q, k].

    Best first, ties by place; place -1 with similarity 0 where there are fewer.

    Args:
        vectors: of unit length, [m, d].
        shown: whether each may be found, [m].
        queries: of unit length, [q, d].
        k: per query.
    """
    wanted = min(k + SPARE, max(len(vectors), 1))
    places = np.full((len(queries), wanted), -1, np.int64)
    scores = np.full((len(queries), wanted), -np.inf, np.float32)
    for first in range(0, len(queries), QUERIES_AT_ONCE):
        some = slice(first, first + QUERIES_AT_ONCE)
        for start in range(0, len(vectors), VECTORS_AT_ONCE):
            block = vectors[start : start + VECTORS_AT_ONCE]
            product = queries[some] @ block.T
            offer_block(places[some], scores[some], start, shown, product)
    return best_of(vectors, queries, places, k)


def best_of(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    candidates: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the best k of each query's candidates by their own similarity, as `search` does.

    Args:
        vectors: of unit length, [m, d].
        queries: of unit length, [q, d].
        candidates: places, -1 for none, int64[q, c].
        k: per query.
    """
    similarity = np.empty(candidates.shape, np.float32)
    similarities(vectors, queries, candidates, similarity)
    order = np.lexsort((candidates, -similarity), axis=-1)[:, :k]
    missing = ((0, 0), (0, k - order.shape[1]))
    places = np.take_along_axis(candidates, order, axis=1)
    best = np.where(places >= 0, np.take_along_axis(similarity, order, axis=1), 0)
    return (
        np.pad(places, missing, constant_values=-1),
        np.pad(best.astype(np.float32), missing),
    )


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


def hold_blas() -> AbstractContextManager:
    """Keep BLAS to the calling thread: the shards are what runs in parallel."""
    return _pools().limit(limits=1, user_api="blas")


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def similarities(vectors, queries, candidates, out):
    """Write the inner product of each query and each of its candidates; -inf for candidate -1."""
    for i in range(candidates.shape[0]):
        for j in range(candidates.shape[1]):
            place = candidates[i, j]
            if place < 0:
                out[i, j] = -np.inf
                continue
            total = np.float32(0)
            for d in range(queries.shape[1]):
                total += vectors[place, d] * queries[i, d]
            out[i, j] = total


@numba.njit(nogil=True, cache=True)
def offer_block(places, scores, start, shown, product):
    """Offer the vectors from `start` on, with product [q, b], to the heaps of the queries."""
    for i in range(product.shape[0]):
        row, best, found = product[i], scores[i], places[i]
        for glance in range(0, len(row), GLANCE):
            end = min(glance + GLANCE, len(row))
            if _largest(row, glance, end) <= best[0]:
                continue
            for j in range(glance, end):
                if row[j] > best[0] and shown[start + j]:
                    _replace_worst(found, best, start + j, row[j])


@numba.njit(nogil=True, cache=True, fastmath=True)
def _largest(row, start, end):
    # Eight at a time, which the compiler turns into vector instructions.
    largest = np.full(8, -np.inf, np.float32)
    for j in range(start, end - 7, 8):
        for lane in range(8):
            largest[lane] = max(largest[lane], row[j + lane])
    for j in range(end - (end - start) % 8, end):
        largest[0] = max(largest[0], row[j])
    return largest.max()


@numba.njit(nogil=True, cache=True)
def _replace_worst(places, scores, place, score):
    position, size = 0, len(scores)
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and scores[child + 1] < scores[child]:
            child += 1
        if scores[child] >= score:
            break
        places[position], scores[position] = places[child], scores[child]
        position = child
    places[position], scores[position] = place, score
