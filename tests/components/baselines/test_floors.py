"""The floors: what can be suggested without learning a vector."""

import numpy as np
import pytest
import scipy.sparse as sp

from components.baselines import floors
from components.baselines.floors import co_occurrence, label_similarity, popular, repeat


def sparse(*rows):
    return sp.csr_matrix(np.array(rows))


def test_popular_gives_everybody_the_labels_most_examples_have():
    labels, scores = popular(np.array([2, 9, 0, 5]), 2, 3)
    assert labels.tolist() == [[1, 3, 0], [1, 3, 0]]
    assert scores.tolist() == [[9, 5, 2], [9, 5, 2]]


def test_popular_fills_up_from_below_what_is_excluded_and_marks_what_is_missing():
    exclude = sparse([0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 1])
    labels, _ = popular(np.array([2, 9, 1, 5]), 3, 2, exclude=exclude)
    assert labels.tolist() == [[0, 2], [1, 3], [2, -1]]


def test_equally_popular_labels_keep_their_order():
    assert popular(np.array([1, 3, 3, 3]), 1, 4)[0].tolist() == [[1, 2, 3, 0]]


def test_repeat_starts_with_the_most_recent_label():
    labels, scores = repeat(sparse([1, 0, 3, 2], [0, 1, 0, 0]), 2)
    assert labels.tolist() == [[2, 3], [1, -1]]
    assert scores.tolist() == [[3, 2], [1, 0]]


def test_repeat_has_nothing_to_say_when_the_past_is_excluded():
    past = sparse([1, 0, 3, 2])
    assert repeat(past, 2, exclude=past)[0].tolist() == [[-1, -1]]


LABELS = sparse([5, 2, 0], [1, 0, 0], [1, 7, 1], [1, 1, 0])  # shared by 4, 3 and 1


@pytest.mark.parametrize(
    ("popularity", "expected"),
    [
        (0.5, [[1, 3 / 12**0.5, 1 / 2], [3 / 12**0.5, 1, 1 / 3**0.5], [1 / 2, 1 / 3**0.5, 1]]),
        (0, [[1, 3 / 4, 1 / 4], [1, 1, 1 / 3], [1, 1, 1]]),
    ],
    ids=["cosine", "conditional frequency"],
)
def test_similarity_sets_what_two_labels_share_against_how_frequent_they_are(popularity, expected):
    similarity = label_similarity(LABELS, popularity=popularity)
    np.testing.assert_allclose(similarity.toarray(), expected, rtol=1e-6)


def test_similarity_keeps_the_strongest_neighbours():
    labels = sparse([1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1])
    kept = label_similarity(labels, neighbours=2).toarray()
    assert [np.flatnonzero(row).tolist() for row in kept] == [[0, 1], [0, 1], [1, 2], [0, 3]]


def test_co_occurrence_adds_up_over_the_members_past():
    similarity = sparse([0, 0, 0.4, 0.5], [0, 0, 0.4, 0.1], [0, 0, 0, 0], [0, 0, 0, 0])
    labels, scores = co_occurrence(similarity, sparse([3, 1, 0, 0], [3, 0, 0, 0]), 2)
    assert labels.tolist() == [[2, 3], [3, 2]]
    np.testing.assert_allclose(scores, [[0.8, 0.6], [0.5, 0.4]], rtol=1e-6)


def test_co_occurrence_leaves_out_what_is_excluded():
    context = sparse([1, 1, 0], [0, 1, 1])
    similarity = label_similarity(context)
    labels, _ = co_occurrence(similarity, context, 3, exclude=context)
    assert labels.tolist() == [[2, -1, -1], [0, -1, -1]]


@pytest.mark.parametrize("exclude_past", [False, True])
def test_blocks_do_not_change_the_result(monkeypatch, exclude_past):
    rng = np.random.default_rng(4)
    context = sp.random(60, 30, density=0.2, format="csr", rng=rng)
    labels = sp.random(60, 30, density=0.2, format="csr", rng=rng)
    exclude = context if exclude_past else None

    def ranked():
        similarity = label_similarity(labels, neighbours=5)
        counts = np.asarray((labels > 0).sum(axis=0)).ravel()
        return (
            co_occurrence(similarity, context, 6, exclude=exclude)[0],
            popular(counts, 60, 6, exclude=exclude)[0],
        )

    whole = ranked()
    monkeypatch.setattr(floors, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(floors, "_PRODUCTS_AT_ONCE", 50)
    for one, other in zip(whole, ranked(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_examples_is_no_error():
    nothing = sp.csr_matrix((0, 4))
    assert popular(np.ones(4), 0, 3, exclude=nothing)[0].shape == (0, 3)
    assert co_occurrence(sparse(*np.eye(4)), nothing, 3)[0].shape == (0, 3)
