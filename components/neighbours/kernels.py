"""Compiled: the best of many scores, and the similarity of chosen pairs.

A score and its place make one integer, smaller for a higher score, then for a lower place: sorting
integers ranks, and breaks ties by place. What was found is kept unsorted until there is twice as
much as wanted, then the better half is kept.
"""

import numba
import numpy as np
from numpy.typing import NDArray

NOTHING = np.iinfo(np.int64).max
"""The key of an empty place; it ranks last."""
PLACES = 2**32 - 1
"""Most places that a key can tell apart."""
GLANCE = 64
"""Scores looked at together: most hold nothing better than what was found already."""
EVERYONE = np.zeros(0, np.bool_)
"""Says that no place is hidden."""


class Best:
    """The best of what is offered to each of many queries.

    Attributes:
        keys: int64[q, 2 * wanted], in no order.
        held: keys in use, int64[q].
        bound: score that an offer has to exceed, float32[q].
        wanted: to be kept per query.
    """

    def __init__(self, queries: int, wanted: int):
        """Start with nothing."""
        self.keys = np.full((queries, 2 * wanted), NOTHING, np.int64)
        self.held = np.zeros(queries, np.int64)
        self.bound = np.full(queries, -np.inf, np.float32)
        self.wanted = wanted

    def places(self) -> NDArray[np.int64]:
        """Return the places of the best, best first, -1 padded, int64[q, wanted]."""
        self.keys.sort(axis=1)
        return unpack(self.keys[:, : self.wanted])[0]


def offer_block(
    best: Best,
    rows: NDArray[np.int64],
    start: int,
    order: NDArray[np.int32],
    shown: NDArray[np.bool_],
    product: NDArray[np.float32],
) -> None:
    """Offer vectors to some of the queries.

    Args:
        best: takes them.
        rows: queries that the rows of the product belong to, [r].
        start: position of the product's first column.
        order: place of each position.
        shown: whether each place may be found; EVERYONE if all may.
        product: scores, float32[r, b].
    """
    kept = (best.keys, best.held, best.bound, best.wanted)
    _offer_block(*kept, rows, start, order, shown, product)


def offer_ranges(
    best: Best,
    queries: NDArray[np.float32],
    probed: NDArray[np.int64],
    offsets: NDArray[np.int64],
    vectors: NDArray[np.float32],
    order: NDArray[np.int32],
    shown: NDArray[np.bool_],
) -> None:
    """Offer to each query the vectors of its ranges; for few queries, that share hardly any.

    Args:
        best: takes them.
        queries: [q, d].
        probed: ranges of each query, [q, r].
        offsets: where each range begins, [r + 1].
        vectors: [m, d].
        order: place of each vector.
        shown: whether each place may be found; EVERYONE if all may.
    """
    kept = (best.keys, best.held, best.bound, best.wanted)
    _offer_ranges(*kept, queries, probed, offsets, vectors, order, shown)


def unpack(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places and scores that keys were made of; place -1 with score 0 for NOTHING."""
    empty = keys == NOTHING
    bits = (~(keys >> 32)).astype(np.int32)
    scores = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).view(np.float32)
    return np.where(empty, -1, keys & PLACES), np.where(empty, np.float32(0), scores)


@numba.njit(nogil=True, cache=True)
def pack(places, scores, keys):
    """Write the key of each place and score; NOTHING for place -1."""
    for i in range(places.shape[0]):
        for j in range(places.shape[1]):
            keys[i, j] = _key(scores[i, j], places[i, j]) if places[i, j] >= 0 else NOTHING


@numba.njit(nogil=True, cache=True)
def pack_similarities(vectors, queries, candidates, keys):
    """Write the key of each query's similarity with each of its candidates, as `pack` does."""
    for i in range(candidates.shape[0]):
        for j in range(candidates.shape[1]):
            place = candidates[i, j]
            keys[i, j] = NOTHING
            if place >= 0:
                keys[i, j] = _key(_product(vectors[place], queries[i]), place)


@numba.njit(nogil=True, cache=True)
def _offer_block(keys, held, bound, wanted, rows, start, order, shown, product):
    for i in range(product.shape[0]):
        new, row = product[i], rows[i]
        for glance in range(0, len(new), GLANCE):
            end = min(glance + GLANCE, len(new))
            if _largest(new[glance:end]) <= bound[row]:
                continue
            for j in range(glance, end):
                if new[j] > bound[row]:
                    place = np.int64(order[start + j])
                    if not len(shown) or shown[place]:
                        _keep(keys, held, bound, wanted, row, new[j], place)


@numba.njit(nogil=True, cache=True)
def _offer_ranges(keys, held, bound, wanted, queries, probed, offsets, vectors, order, shown):
    for i in range(queries.shape[0]):
        for part in probed[i]:
            for position in range(offsets[part], offsets[part + 1]):
                score = _product(vectors[position], queries[i])
                if score > bound[i]:
                    place = np.int64(order[position])
                    if not len(shown) or shown[place]:
                        _keep(keys, held, bound, wanted, i, score, place)


@numba.njit(nogil=True, cache=True)
def _keep(keys, held, bound, wanted, row, score, place):
    own = keys[row]
    own[held[row]] = _key(score, place)
    held[row] += 1
    if held[row] == len(own):
        _put_first(own, wanted)
        own[wanted:] = NOTHING
        held[row] = wanted
        bits = ~(own[wanted - 1] >> 32)
        bound[row] = np.int32(bits ^ 0x7FFFFFFF if bits < 0 else bits).view(np.float32)


@numba.njit(nogil=True, cache=True)
def _put_first(keys, count):
    """Put the smallest keys first, the largest of them last (Hoare's selection)."""
    last, low, high = count - 1, 0, len(keys) - 1
    while low < high:
        pivot, i, j = keys[last], low, high
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while pivot < keys[j]:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if j < last:
            low = i
        if last < i:
            high = j


@numba.njit(nogil=True, cache=True)
def _key(score, place):
    # The bits of a positive float grow with it, those of a negative one shrink.
    bits = np.int64(np.float32(score).view(np.int32))
    ordered = bits ^ 0x7FFFFFFF if bits < 0 else bits
    return (~ordered << 32) | np.int64(place)


@numba.njit(nogil=True, cache=True, fastmath=True)
def _largest(scores):
    # The compiler makes vector instructions of this, which it cannot of a loop that also branches.
    largest = scores[0]
    for j in range(1, len(scores)):
        largest = max(largest, scores[j])
    return largest


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _product(a, b):
    total = np.float32(0)
    for d in range(len(b)):
        total += a[d] * b[d]
    return total
