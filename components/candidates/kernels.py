"""Compiled look-ups in inverted lists: postings by attribute, int32, ascending.

A clause is one attribute, or two that a posting must both have; `second` is -1 for the former.
"""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def intersect(a, b, out):
    """Write what two ascending lists share to `out`, and return how much it is.

    Each element of the shorter list is sought in the longer one by steps that double, so that a
    rare attribute costs no more than its own length times a logarithm.
    """
    if len(a) > len(b):
        a, b = b, a
    count, at = 0, 0
    for value in a:
        at = _gallop(b, at, value)
        if at == len(b):
            break
        if b[at] == value:
            out[count] = value
            count += 1
    return count


@numba.njit(nogil=True, cache=True)
def retrieve(offsets, postings, clauses, hidden, k, scores):
    """Return the best k postings of an OR over weighted clauses, and how many matched any.

    A posting's score is the sum of the weights of the clauses that it matches. Only the lists of
    these clauses are read; ties go to the lower number.

    Args:
        offsets: of the inverted lists.
        postings: in them.
        clauses: first and second attribute int32[c], weights float32[c].
        hidden: postings that may not be returned, ascending.
        k: at most so many.
        scores: float32 [postings], zeros.

    Returns:
        Postings int32, best first, their scores, and the number of those that matched.
    """
    first, second, weights = clauses
    count = 0
    touched = np.empty(len(scores), np.int32)
    found = np.empty(_longest(offsets, first, second), np.int32)
    for c in range(len(first)):
        if weights[c] <= 0:
            continue
        own = postings[offsets[first[c]] : offsets[first[c] + 1]]
        if second[c] >= 0:
            other = postings[offsets[second[c]] : offsets[second[c] + 1]]
            own = found[: intersect(own, other, found)]
        for posting in own:
            if scores[posting] == 0:
                touched[count] = posting
                count += 1
            scores[posting] += weights[c]
    best, values = _best(touched[:count], scores, hidden, k)
    return best, values, count


@numba.njit(nogil=True, cache=True)
def match(offsets, attributes, posting, runs, owner, first, second, columns, values, width):
    """Sum what the clauses that match each pair of a member and a posting say.

    Args:
        offsets: of the postings' attributes.
        attributes: of each posting, ascending.
        posting: int64[n], of each pair.
        runs: int64[m + 1], clauses of each member.
        owner: int64[n], the member of each pair.
        first: of each clause.
        second: of each clause.
        columns: int64[c], the first of the columns in which a clause says something.
        values: float32[c, v], what it says in `v` columns from that one on.
        width: columns in all.

    Returns:
        float32[n, width].
    """
    said = np.zeros((len(posting), width), np.float32)
    for i in range(len(posting)):
        own = attributes[offsets[posting[i]] : offsets[posting[i] + 1]]
        for c in range(runs[owner[i]], runs[owner[i] + 1]):
            if _has(own, first[c]) and (second[c] < 0 or _has(own, second[c])):
                for j in range(values.shape[1]):
                    said[i, columns[c] + j] += values[c, j]
    return said


@numba.njit(nogil=True, cache=True)
def _best(touched, scores, hidden, k):
    """Return the k best of the postings touched, by a heap whose root is the worst kept."""
    size = 0
    kept = np.empty(min(k, len(touched)), np.int32)
    for posting in touched:
        at = np.searchsorted(hidden, posting)
        if at < len(hidden) and hidden[at] == posting:
            continue
        if size < len(kept):
            kept[size] = posting
            size += 1
            if size == len(kept):
                for root in range(size // 2 - 1, -1, -1):
                    _sink(kept, scores, root, size)
        elif len(kept) and _worse(scores, kept[0], posting):
            kept[0] = posting
            _sink(kept, scores, 0, size)
    kept = np.sort(kept[:size])
    values = scores[kept]
    order = np.argsort(-values, kind="mergesort")
    return kept[order], values[order]


@numba.njit(nogil=True, cache=True)
def _sink(heap, scores, at, size):
    while True:
        below = 2 * at + 1
        if below >= size:
            return
        if below + 1 < size and _worse(scores, heap[below + 1], heap[below]):
            below += 1
        if not _worse(scores, heap[below], heap[at]):
            return
        heap[at], heap[below] = heap[below], heap[at]
        at = below


@numba.njit(nogil=True, cache=True)
def _worse(scores, a, b):
    return scores[a] < scores[b] or (scores[a] == scores[b] and a > b)


@numba.njit(nogil=True, cache=True)
def _longest(offsets, first, second):
    """Return the most postings that a clause of two attributes can match."""
    longest = 0
    for c in range(len(first)):
        if second[c] >= 0:
            longest = max(longest, offsets[first[c] + 1] - offsets[first[c]])
    return longest


@numba.njit(nogil=True, cache=True)
def _gallop(values, at, wanted):
    """Return the first place from `at` on whose value is not below `wanted`."""
    step, below = 1, at
    while at < len(values) and values[at] < wanted:
        below = at + 1
        at += step
        step *= 2
    return below + np.searchsorted(values[below : min(at, len(values))], wanted)


@numba.njit(nogil=True, cache=True)
def _has(values, wanted):
    at = np.searchsorted(values, wanted)
    return at < len(values) and values[at] == wanted
