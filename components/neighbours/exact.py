"""The nearest of all vectors, by blocked matrix products.

A product's last bits depend on how its rows were blocked, so it only chooses candidates; their
similarities are then computed one by one, always in the same order.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from components.neighbours.kernels import IN_PLACE, offer_block, similarities

QUERIES_AT_ONCE = 512
VECTORS_AT_ONCE = 1024
SPARE = 16
"""Candidates beyond k, so that rounding cannot decide between those that tie."""


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
        shown: whether each may be found, [m]; EVERYONE if all may.
        queries: of unit length, [q, d].
        k: per query.
    """
    places, scores = empty_heaps(len(queries), min(k + SPARE, max(len(vectors), 1)))
    for first in range(0, len(queries), QUERIES_AT_ONCE):
        rows = np.arange(first, min(first + QUERIES_AT_ONCE, len(queries)))
        some = queries[rows]
        for start in range(0, len(vectors), VECTORS_AT_ONCE):
            product = some @ vectors[start : start + VECTORS_AT_ONCE].T
            offer_block(places, scores, rows, start, IN_PLACE, shown, product)
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
    best = np.where(places >= 0, np.take_along_axis(similarity, order, axis=1), np.float32(0))
    return np.pad(places, missing, constant_values=-1), np.pad(best, missing)


def empty_heaps(rows: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return places -1 and scores -inf for `offer_block`, [rows, size] each."""
    return np.full((rows, size), -1, np.int64), np.full((rows, size), -np.inf, np.float32)


@contextmanager
def hold_blas() -> Iterator[None]:
    """Keep BLAS to the calling thread: shards and blocks of queries are what runs in parallel.

    Searches overlap: the first holds it, the last lets it go.
    """
    global _holders, _held
    with _HOLDING:
        if _holders == 0:
            _held = _pools().limit(limits=1, user_api="blas")
        _holders += 1
    try:
        yield
    finally:
        with _HOLDING:
            _holders -= 1
            if _holders == 0:
                _held.restore_original_limits()


_HOLDING = threading.Lock()
_holders = 0
_held: Any = None


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()
