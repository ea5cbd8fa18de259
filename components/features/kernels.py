"""Compiled look-ups and comparisons, one row per pair of a member and a posting.

Rows below 0 stand for what is unknown: they compare as empty and count as nothing.
"""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def gather_runs(offsets, codes, values, rows, wanted):
    """Return values[n, w] of code `wanted[i]` in run `rows[i]`, and its place, -1 for none.

    Args:
        offsets: int64[r + 1] into codes.
        codes: int32 or int64, ascending within a run.
        values: float32[len(codes), w].
        rows: int64[n].
        wanted: int64[n].
    """
    found = np.zeros((len(rows), values.shape[1]), values.dtype)
    places = np.full(len(rows), -1, np.int64)
    for i in range(len(rows)):
        if rows[i] < 0 or wanted[i] < 0:
            continue
        place = _find(codes, offsets[rows[i]], offsets[rows[i] + 1], wanted[i])
        if place >= 0:
            places[i] = place
            for j in range(values.shape[1]):
                found[i, j] = values[place, j]
    return found, places


@numba.njit(nogil=True, cache=True)
def overlaps(a, a_rows, b, b_rows):
    """Compare two sets of terms per pair.

    Args:
        a: `TermSets`.
        a_rows: int64[n], rows of a.
        b: `TermSets`.
        b_rows: int64[n], rows of b.

    Returns:
        float32[n, 4]: terms shared, weight shared over the weight of a, over that of b, and terms
        shared over terms of either.
    """
    result = np.zeros((len(a_rows), 4), np.float32)
    for i in range(len(a_rows)):
        if a_rows[i] < 0 or b_rows[i] < 0:
            continue
        in_a = a.offsets[a_rows[i] + 1] - a.offsets[a_rows[i]]
        in_b = b.offsets[b_rows[i] + 1] - b.offsets[b_rows[i]]
        if in_a == 0 or in_b == 0:
            continue
        shared, weight = _shared(a, a_rows[i], b, b_rows[i])
        result[i, 0] = shared
        result[i, 1] = weight / _weight(a, a_rows[i])
        result[i, 2] = weight / _weight(b, b_rows[i])
        result[i, 3] = shared / (in_a + in_b - shared)
    return result


@numba.njit(nogil=True, cache=True)
def past_overlaps(offsets, texts, members, a, b, b_rows):
    """Compare a text with each text of a member's past.

    Args:
        offsets: int64[members + 1] into texts.
        texts: int32, rows of a.
        members: int64[n], rows of offsets.
        a: `TermSets` of the past.
        b: `TermSets` of what is compared with it.
        b_rows: int64[n], rows of b.

    Returns:
        float32[n, 2]: the largest and the mean similarity, the weight shared over the geometric
        mean of both weights.
    """
    result = np.zeros((len(members), 2), np.float32)
    for i in range(len(members)):
        if members[i] < 0 or b_rows[i] < 0:
            continue
        start, end = offsets[members[i]], offsets[members[i] + 1]
        whole = _weight(b, b_rows[i])
        total = 0.0
        for at in range(start, end):
            _, weight = _shared(a, texts[at], b, b_rows[i])
            if weight > 0:
                alike = weight / np.sqrt(whole * _weight(a, texts[at]))
                total += alike
                result[i, 0] = max(result[i, 0], alike)
        if end > start:
            result[i, 1] = total / (end - start)
    return result


@numba.njit(nogil=True, cache=True)
def term_means(offsets, terms, values, members, sets, rows):
    """Average a member's values of terms over the terms of a text, by their weights.

    Args:
        offsets: int64[members + 1] into terms.
        terms: int64, ascending within a member.
        values: float32[len(terms), w].
        members: int64[n], rows of offsets.
        sets: `TermSets` of the texts.
        rows: int64[n], rows of sets.

    Returns:
        float32[n, w]; a term that the member has no value of counts as 0.
    """
    result = np.zeros((len(rows), values.shape[1]), np.float32)
    for i in range(len(rows)):
        if members[i] < 0 or rows[i] < 0:
            continue
        first, last = offsets[members[i]], offsets[members[i] + 1]
        for at in range(sets.offsets[rows[i]], sets.offsets[rows[i] + 1]):
            place = _find(terms, first, last, sets.terms[at])
            if place >= 0:
                for j in range(values.shape[1]):
                    result[i, j] += sets.weights[at] * values[place, j]
        whole = _weight(sets, rows[i])
        if whole > 0:
            result[i] /= whole
    return result


@numba.njit(nogil=True, cache=True)
def _find(codes, start, end, wanted):
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        if codes[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < end and codes[low] == wanted else -1


@numba.njit(nogil=True, cache=True)
def _shared(a, a_row, b, b_row):
    """Terms that two sets share, and their weight in a; a term weighs the same in both."""
    at, a_end = a.offsets[a_row], a.offsets[a_row + 1]
    other, b_end = b.offsets[b_row], b.offsets[b_row + 1]
    shared, weight = 0, 0.0
    while at < a_end and other < b_end:
        if a.terms[at] < b.terms[other]:
            at += 1
        elif a.terms[at] > b.terms[other]:
            other += 1
        else:
            shared += 1
            weight += a.weights[at]
            at += 1
            other += 1
    return shared, weight


@numba.njit(nogil=True, cache=True)
def _weight(sets, row):
    total = 0.0
    for at in range(sets.offsets[row], sets.offsets[row + 1]):
        total += sets.weights[at]
    return total
