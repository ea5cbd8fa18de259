"""Slice: one classifier per label, told from its hardest negatives."""

import numpy as np
import pytest
import scipy.sparse as sp

from components.extreme.config import SliceConfig
from components.extreme.errors import ExtremeError
from components.extreme.slice import Slice, train_slice

POINTS, LABELS, DIMENSION = 600, 40, 24


def toy(seed=0, points=POINTS):
    """Points scattered around the mean of their one to three labels' directions."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(LABELS, DIMENSION))
    y = sp.lil_matrix((points, LABELS), dtype=np.float32)
    for i in range(points):
        y[i, random.choice(LABELS, size=random.integers(1, 4), replace=False)] = 1
    y = y.tocsr()
    x = y @ directions + 0.5 * random.normal(size=(points, DIMENSION))
    return x.astype(np.float32), y


@pytest.fixture(scope="module")
def model():
    return train_slice(*toy(), SliceConfig(neighbours=20), seed=1)


def precision(labels, y):
    return np.mean([y[i, labels[i, 0]] > 0 for i in range(y.shape[0])])


def test_it_finds_the_labels_of_points_it_has_not_seen(model):
    x, y = toy(seed=5)
    labels, _ = model.predict(x, 1)
    assert precision(labels, y) > 0.95


@pytest.mark.parametrize("threads", [1, 3])
def test_the_seed_fixes_the_model_on_any_number_of_threads(model, threads):
    again = train_slice(*toy(), SliceConfig(neighbours=20), seed=1, threads=threads)
    np.testing.assert_array_equal(again._weights, model._weights)


def test_only_the_direction_of_a_point_counts(model):
    x, _ = toy(seed=5)
    near, far = model.predict(x, 5), model.predict(x * 1000, 5)
    np.testing.assert_array_equal(near[0], far[0])


@pytest.mark.parametrize("index", ["exact", "hnsw"])
def test_a_loaded_model_predicts_as_the_saved_one(tmp_path, index):
    x, y = toy()
    trained = train_slice(x, y, SliceConfig(neighbours=20, index=index), seed=1)
    trained.save(tmp_path / "model")
    loaded = Slice.load(tmp_path / "model")
    for before, after in zip(trained.predict(x, 7), loaded.predict(x, 7), strict=True):
        np.testing.assert_array_equal(before, after)


def test_an_excluded_label_makes_room_for_the_next(model):
    x, _ = toy(seed=5)
    everything, _ = model.predict(x, 4)
    best = sp.csr_matrix(
        (np.ones(len(x)), (np.arange(len(x)), everything[:, 0])), shape=(len(x), LABELS)
    )
    rest, _ = model.predict(x, 3, exclude=best)
    np.testing.assert_array_equal(rest, everything[:, 1:])


def test_a_point_without_direction_gets_finite_scores(model):
    _, scores = model.predict(np.zeros((1, DIMENSION), np.float32), 5)
    assert np.isfinite(scores).all()


def test_places_without_a_label_are_minus_one(model):
    everything = sp.csr_matrix(np.ones((1, LABELS)))
    labels, scores = model.predict(np.ones((1, DIMENSION), np.float32), 3, exclude=everything)
    assert labels.tolist() == [[-1, -1, -1]]
    assert scores.tolist() == [[0, 0, 0]]


def test_a_label_without_positives_is_never_suggested():
    x, y = toy()
    wider = sp.hstack([y, sp.csr_matrix((POINTS, 3))]).tocsr()
    labels, _ = train_slice(x, wider, SliceConfig(), seed=1).predict(x, 30)
    assert labels.max() < LABELS


def broken(change):
    x, y = toy()
    return change(x, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (np.where(np.arange(POINTS)[:, None] == 17, np.nan, x), y), "row 17 of x"),
        (lambda x, y: (x[:-1], y), "y has 600 rows, x has 599"),
        (lambda x, y: (x, y * 0), "no label at all"),
        (lambda x, y: (x[0], y), r"must have shape \[n, d\]"),
    ],
    ids=["NaN", "rows differ", "no labels", "one vector"],
)
def test_unusable_training_data_is_refused(change, message):
    with pytest.raises(ExtremeError, match=message):
        train_slice(*broken(change), SliceConfig(), seed=1)


@pytest.mark.parametrize(
    ("x", "k", "message"),
    [
        (np.ones((1, DIMENSION)), LABELS + 1, "k=41"),
        (np.ones((1, DIMENSION)), 0, "k=0"),
        (np.ones((1, DIMENSION + 1)), 1, r"\[n, 24\]"),
        (np.full((1, DIMENSION), np.inf), 1, "row 0 of x"),
    ],
    ids=["k too large", "k zero", "wrong dimension", "infinite"],
)
def test_unusable_queries_are_refused(model, x, k, message):
    with pytest.raises(ExtremeError, match=message):
        model.predict(x, k)
