"""Predicted entities: what every member is given."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from components.encoder.vectors import MemberVectors, save_member_vectors
from components.extreme.config import SliceConfig
from components.extreme.entities import predict_entities
from components.extreme.errors import ExtremeError
from components.extreme.slice import train_slice

TASTES = np.eye(4, dtype=np.float32)


@pytest.fixture(scope="module")
def model():
    """Label t is of the points along axis t."""
    axes = np.repeat(np.arange(4), 8)
    points = TASTES[axes] + np.random.default_rng(1).normal(0, 0.05, (32, 4)).astype(np.float32)
    labels = sp.csr_matrix((np.ones(32, np.float32), (np.arange(32), axes)), shape=(32, 4))
    return train_slice(points, labels, SliceConfig(), seed=1)


def entities_of(folder, model, vectors, k=2, past=None):
    members = pa.chunked_array([[f"m{row}" for row in range(len(vectors))]])
    save_member_vectors(folder / "vectors", MemberVectors(members, vectors, {}, "v1"))
    past = sp.csr_matrix((len(vectors), 4)) if past is None else sp.csr_matrix(past)
    slices = {"any": model, "explore": model}
    predict_entities(folder / "vectors", slices, past, folder / "entities.parquet", k=k)
    return pq.read_table(folder / "entities.parquet").to_pylist()


def test_every_member_gets_the_best_labels_first(tmp_path, model):
    rows = entities_of(tmp_path, model, TASTES[[2, 0, 3]])
    assert [(row["member_id"], row["labels"][0]) for row in rows] == [
        ("m0", 2),
        ("m1", 0),
        ("m2", 3),
    ]
    assert all(row["scores"] == sorted(row["scores"], reverse=True) for row in rows)


def test_exploring_leaves_out_what_the_member_has_done(tmp_path, model):
    (row,) = entities_of(tmp_path, model, TASTES[[2]], k=4, past=[[0, 0, 1, 0]])
    assert row["labels"][0] == 2
    assert sorted(row["explore_labels"]) == [0, 1, 3]
    assert row["explore_scores"] == sorted(row["explore_scores"], reverse=True)


def test_a_past_of_other_members_is_refused(tmp_path, model):
    with pytest.raises(ExtremeError, match="1 members and 4 labels, but the past is of 2 and 4"):
        entities_of(tmp_path, model, TASTES[[2]], past=np.zeros((2, 4)))


def test_a_member_without_a_vector_has_no_entities(tmp_path, model):
    rows = entities_of(tmp_path, model, np.stack([TASTES[1], np.zeros(4, np.float32)]))
    assert [len(row["labels"]) for row in rows] == [2, 0]
    assert [len(row["explore_labels"]) for row in rows] == [2, 0]


def test_vectors_of_another_dimension_are_refused(tmp_path, model):
    with pytest.raises(ExtremeError, match="5 dimensions, the model takes 4"):
        entities_of(tmp_path, model, np.ones((1, 5), np.float32))
    assert not (tmp_path / "entities.parquet").exists()
