"""Compiled look-ups against the plain way to do the same."""

import numpy as np
import pytest

from components.candidates.kernels import intersect
from components.candidates.postings import Lists, Postings


def ascending(random, size, most=200):
    return np.unique(random.integers(0, most, size)).astype(np.int32)


@pytest.mark.parametrize(("one", "other"), [(5, 150), (150, 5), (60, 60), (0, 9), (9, 0), (0, 0)])
def test_intersection_is_that_of_sets(one, other):
    random = np.random.default_rng(one)
    for _ in range(20):
        a, b = ascending(random, one), ascending(random, other)
        out = np.empty(max(len(a), len(b)), np.int32)
        assert out[: intersect(a, b, out)].tolist() == np.intersect1d(a, b).tolist()


def scores_of(postings, first, second, weights):
    """The sum of the weights of the clauses that each posting matches."""
    scores = np.zeros(len(postings), np.float32)
    for a, b, weight in zip(first, second, weights, strict=True):
        for row in range(len(postings)):
            own = postings.has.of_row(row)
            scores[row] += weight * (a in own and (b < 0 or b in own))
    return scores


@pytest.mark.parametrize("k", [1, 3, 7, 1000])
def test_the_best_of_all_postings_are_retrieved(k):
    random = np.random.default_rng(3)
    rows, attributes = 300, 12
    has = random.random((rows, attributes)) < 0.2
    row, attribute = np.nonzero(has)
    postings = Postings.__new__(Postings)
    postings.table = range(rows)
    postings.has = Lists.of(row, attribute, rows)
    postings.lists = Lists.of(attribute, row, attributes)
    first = np.array([0, 1, 2, 3, 4], np.int32)
    second = np.array([-1, 5, -1, 6, 0], np.int32)
    weights = np.array([0.5, 1.0, 0.25, 0.0, 0.5], np.float32)
    hidden = Lists.of(np.zeros(3, np.int64), np.array([1, 7, 100]), 1).of_row(0)
    scores = scores_of(postings, first, second, weights)
    matched = int((scores > 0).sum())
    scores[hidden] = 0
    wanted = np.lexsort((np.arange(rows), -scores))[: min(k, (scores > 0).sum())]
    found = postings.retrieve(first, second, weights, k, hidden=hidden)
    assert found.rows.tolist() == wanted.tolist()
    assert found.scores.tolist() == scores[wanted].tolist()
    assert found.matched == matched


def test_no_clause_retrieves_nothing(postings):
    no = np.zeros(0, np.int32)
    hidden = Lists.of(no, no, 1).of_row(0)
    found = postings.retrieve(no, no, np.zeros(0, np.float32), 5, hidden=hidden)
    assert len(found.rows) == 0
    assert found.matched == 0
