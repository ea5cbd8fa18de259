"""The k best of many scores, compiled: a row of scores and a row of items, worst at the root."""

import numba
import numpy as np
from numpy.typing import NDArray


def empty(rows: int, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return heaps that hold item -1 with the worst score, [rows, k] each."""
    return np.full((rows, k), -1, np.int32), np.full((rows, k), -np.inf, np.float32)


@numba.njit(nogil=True, cache=True)
def offer(items, scores, item, score):
    """Take an item in if it is better than the worst one kept."""
    if score > scores[0]:
        _replace_root(items, scores, len(scores), item, score)


@numba.njit(nogil=True, cache=True)
def offer_block(items, scores, rows, new_items, new_scores):
    """Offer new_items, with new_scores [len(rows), m], to the heaps of these rows."""
    for i in range(len(rows)):
        row = rows[i]
        for j in range(len(new_items)):
            offer(items[row], scores[row], new_items[j], new_scores[i, j])


@numba.njit(nogil=True, cache=True)
def settle(items, scores):
    """Turn one heap into a list, best first, and the score of an empty place into 0."""
    for end in range(len(scores) - 1, 0, -1):
        item, score = items[end], scores[end]
        items[end], scores[end] = items[0], scores[0]
        _replace_root(items, scores, end, item, score)
    for i in range(len(scores)):
        if items[i] < 0:
            scores[i] = np.float32(0)


@numba.njit(nogil=True, cache=True)
def settle_rows(items, scores):
    """Settle the heap of every row."""
    for i in range(items.shape[0]):
        settle(items[i], scores[i])


@numba.njit(nogil=True, cache=True)
def _replace_root(items, scores, size, item, score):
    position = 0
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and scores[child + 1] < scores[child]:
            child += 1
        if scores[child] >= score:
            break
        items[position], scores[position] = items[child], scores[child]
        position = child
    items[position], scores[position] = item, score
