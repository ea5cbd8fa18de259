"""Batches: every document where it belongs, every distinct text once, nothing padded."""

from types import SimpleNamespace

import numpy as np
import pytest

from components.ranking.batches import assemble, training_batch


@pytest.fixture
def lists():
    return SimpleNamespace(
        offsets=np.array([0, 3, 4, 8]),
        gains=np.array([0, 3, 1, 0, 0, 2, 0, 1], np.float32),
        continuous=np.arange(16, dtype=np.float32).reshape(8, 2),
        categorical=np.arange(8, dtype=np.int32).reshape(8, 1),
        query=np.array([1, 0, 1], np.int32),
        title=np.array([2, 0, 2, 1, 0, 0, 2, 0], np.int32),
        company=np.zeros(8, np.int32),
        queries=np.array([[5, 0, 0], [6, 7, 0]], np.int32),
        titles=np.array([[2, 3, 0, 0], [8, 0, 0, 0], [4, 0, 0, 0]], np.int32),
        companies=np.array([[9, 9]], np.int32),
        example=np.array([1, -1, 2], np.int32),
    )


VECTORS = np.array([[1, 1], [2, 2], [0, 0]], np.float32)


def test_documents_come_with_their_list_place_and_features(lists):
    batch = assemble(lists, np.array([2, 0]), VECTORS)
    assert batch.documents.owner.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert batch.place.tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert batch.gains.tolist() == [[0, 2, 0, 1], [0, 3, 1, -1]]
    assert batch.documents.categorical[:, 0].tolist() == [4, 5, 6, 7, 0, 1, 2]
    assert np.array_equal(batch.documents.continuous, lists.continuous[[4, 5, 6, 7, 0, 1, 2]])


def test_every_distinct_text_occurs_once(lists):
    documents = assemble(lists, np.array([2, 0]), VECTORS).documents
    assert documents.queries.tolist() == [[6, 7]]
    assert documents.titles.tolist() == [[2, 3], [4, 0]]
    assert documents.query.tolist() == [0, 0]
    assert documents.title.tolist() == [0, 0, 1, 0, 1, 0, 1]


def test_members_without_a_vector_are_marked(lists):
    documents = assemble(lists, np.array([0, 1, 2]), VECTORS).documents
    assert documents.has_vector.tolist() == [1, 0, 0], "none, and one of zeros, are no vector"
    assert documents.vector.tolist() == [[2, 2], [0, 0], [0, 0]]


def test_hidden_vectors_leave_no_trace(lists):
    documents = assemble(lists, np.array([0]), VECTORS, hidden=np.array([True])).documents
    assert documents.has_vector.tolist() == [0]
    assert not documents.vector.any()


def test_long_lists_are_cut_from_the_top(lists):
    batch = assemble(lists, np.array([2]), VECTORS, list_size=2)
    assert batch.gains.tolist() == [[0, 2]]


def drawn(lists, step, **changes):
    settings = {"batch": 2, "list_size": 25, "drop_vectors": 0.5, "seed": 1} | changes
    return training_batch(lists, np.arange(3), VECTORS, step=step, **settings)


def test_a_batch_is_a_pure_function_of_its_step(lists):
    first = drawn(lists, 3)
    drawn(lists, 5)
    again = drawn(lists, 3)
    for a, b in zip(first.documents, again.documents, strict=True):
        assert np.array_equal(a, b)


def test_replicas_share_a_batch_evenly(lists):
    whole = drawn(lists, 0).documents.categorical[:, 0].tolist()
    parts = [drawn(lists, 0, share=(r, 2)).documents.categorical[:, 0].tolist() for r in range(2)]
    assert sorted(sum(parts, [])) == sorted(whole)
