"""Whatever ranks labels answers the same call."""

import numpy as np
import pytest
import scipy.sparse as sp

from components.evaluation import predictors
from components.evaluation.predictors import floor_predictors, linear_predictor, slice_predictor
from components.extreme.config import SliceConfig
from components.extreme.slice import train_slice

NOTHING = None


def test_floors_learn_from_the_training_examples_of_the_data_set(examples):
    rows = np.array([2, 4])
    d2 = floor_predictors(examples, "D2")
    d1_new = floor_predictors(examples, "D1-new")
    assert d2["popular"](rows, 5, NOTHING)[0][0].tolist() == [0, 1, 2, 3, -1]
    assert d1_new["popular"](rows, 2, NOTHING)[0][0].tolist() == [3, -1]
    # After a nurse came an ICU nurse, and nothing is known of the data engineer's next step.
    assert d1_new["co-occurrence"](rows, 2, NOTHING)[0].tolist() == [[-1, -1], [3, -1]]


def test_repeat_gives_the_rows_own_past(examples):
    repeat = floor_predictors(examples, "D2")["repeat"]
    assert repeat(np.array([3, 2]), 2, NOTHING)[0].tolist() == [[2, 4], [0, -1]]


def test_slice_ranks_for_the_vectors_of_the_rows():
    x = np.eye(4, dtype=np.float32).repeat(5, axis=0)
    predict = slice_predictor(train_slice(x, sp.csr_matrix(x > 0), SliceConfig(), seed=1), x)
    assert predict(np.array([19, 0]), 1, NOTHING)[0].tolist() == [[3], [0]]
    exclude = sp.csr_matrix(np.array([[0, 0, 0, 1], [0, 0, 0, 0]]))
    assert predict(np.array([19, 0]), 4, exclude)[0][0].tolist().count(3) == 0


@pytest.mark.parametrize("at_once", [1, 1_000_000])
def test_a_linear_layer_ranks_all_labels_by_probability(monkeypatch, at_once):
    monkeypatch.setattr(predictors, "_SCORES_AT_ONCE", at_once)
    weights = np.array([[1, 0], [0, 1], [2, 2]], np.float32)
    biases = np.array([0, 0, -1], np.float32)
    features = np.array([[9, 9], [1, 0], [0, 2]], np.float32)
    predict = linear_predictor(features, weights, biases)
    labels, scores = predict(np.array([2, 1]), 3, NOTHING)
    assert labels.tolist() == [[2, 1, 0], [0, 2, 1]]  # scores 3, 2, 0 and 1, 1, 0
    np.testing.assert_allclose(scores[0], [1 / (1 + np.exp(-s)) for s in (3, 2, 0)], rtol=1e-6)
    exclude = sp.csr_matrix(np.array([[0, 1, 1], [0, 0, 0]]))
    labels, scores = predict(np.array([2, 1]), 2, exclude)
    assert labels.tolist() == [[0, -1], [0, 2]]
    assert scores[0, 1] == 0
