"""The nearest of all vectors, by blocked matrix products.

A product's last bits depend on how its rows were blocked, so it only chooses candidates; their
similarities are then computed one by one, always in the same order.
"""

import numpy as np
from numpy.typing import NDArray

from components.extreme.threads import hold_faiss
from components.neighbours.kernels import pack_similarities, unpack

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
    import faiss

    wanted = k + SPARE
    while True:
        wanted = min(wanted, len(vectors))
        candidates = np.full((len(queries), wanted), -1, np.int64)
        if candidates.size:
            with hold_faiss():
                candidates = faiss.knn(queries, vectors, wanted, faiss.METRIC_INNER_PRODUCT)[1]
        if len(shown):
            candidates = np.where(shown[candidates], candidates, -1)
        enough = min(k, len(vectors))
        if wanted == len(vectors) or np.all((candidates >= 0).sum(axis=1) >= enough):
            return best_of(vectors, queries, candidates, k)
        wanted *= 2  # so many of the nearest are hidden


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
    keys = np.empty(candidates.shape, np.int64)
    pack_similarities(vectors, queries, candidates, keys)
    return first_of(keys, k)


def first_of(keys: NDArray[np.int64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return places and similarities of the k first in each row of keys, as `search` does."""
    keys.sort(axis=1)
    places, similarity = unpack(keys[:, :k])
    missing = ((0, 0), (0, k - places.shape[1]))
    return np.pad(places, missing, constant_values=-1), np.pad(similarity, missing)
