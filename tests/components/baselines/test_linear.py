"""A network's last layer ranks all labels."""

import numpy as np
import pytest
import scipy.sparse as sp

from components.baselines import linear
from components.baselines.linear import linear_predictor

NOTHING = None


@pytest.mark.parametrize("at_once", [1, 1_000_000])
def test_a_linear_layer_ranks_all_labels_by_probability(monkeypatch, at_once):
    monkeypatch.setattr(linear, "_SCORES_AT_ONCE", at_once)
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
