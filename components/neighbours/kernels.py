"""Compiled: the best of many scores, and the similarity of chosen pairs."""

import numba
import numpy as np

GLANCE = 64
"""Scores looked at together: most hold nothing better than what was found already."""
IN_PLACE = np.zeros(0, np.int32)
EVERYONE = np.zeros(0, np.bool_)


@numba.njit(nogil=True, cache=True)
def offer_block(places, scores, rows, start, order, shown, product):
    """Offer vectors to the heaps of these rows, worst at the root.

    Args:
        places: int64[q, c], -1 where nothing was found yet.
        scores: float32[q, c], -inf there.
        rows: heaps that the rows of the product belong to, [r].
        start: position of the product's first column.
        order: place of each position; IN_PLACE where they are the same.
        shown: whether each place may be found; EVERYONE if all may.
        product: scores, float32[r, b].
    """
    for i in range(product.shape[0]):
        new, best, found = product[i], scores[rows[i]], places[rows[i]]
        for glance in range(0, len(new), GLANCE):
            end = min(glance + GLANCE, len(new))
            if _largest(new[glance:end]) <= best[0]:
                continue
            for j in range(glance, end):
                if new[j] > best[0]:
                    place = order[start + j] if len(order) else start + j
                    if not len(shown) or shown[place]:
                        _replace_worst(found, best, place, new[j])


@numba.njit(nogil=True, cache=True)
def offer_ranges(places, scores, queries, probed, offsets, vectors, order, shown):
    """Offer to each query the vectors of its ranges; for few queries, that share hardly any.

    Args:
        places: int64[q, c], -1 where nothing was found yet.
        scores: float32[q, c], -inf there.
        queries: float32[q, d].
        probed: ranges of each query, [q, r].
        offsets: where each range begins, [r + 1].
        vectors: float32[m, d].
        order: place of each vector.
        shown: whether each place may be found; EVERYONE if all may.
    """
    for i in range(queries.shape[0]):
        for part in probed[i]:
            for position in range(offsets[part], offsets[part + 1]):
                score = _product(vectors[position], queries[i])
                if score > scores[i, 0]:
                    place = order[position]
                    if not len(shown) or shown[place]:
                        _replace_worst(places[i], scores[i], place, score)


@numba.njit(nogil=True, cache=True)
def similarities(vectors, queries, candidates, out):
    """Write the inner product of each query and each of its candidates; -inf for candidate -1."""
    for i in range(candidates.shape[0]):
        for j in range(candidates.shape[1]):
            place = candidates[i, j]
            if place < 0:
                out[i, j] = -np.inf
            else:
                out[i, j] = _product(vectors[place], queries[i])


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _product(a, b):
    total = np.float32(0)
    for d in range(len(b)):
        total += a[d] * b[d]
    return total


@numba.njit(nogil=True, cache=True, fastmath=True)
def _largest(scores):
    # The compiler makes vector instructions of this, which it cannot of a loop that also branches.
    largest = scores[0]
    for j in range(1, len(scores)):
        largest = max(largest, scores[j])
    return largest


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
