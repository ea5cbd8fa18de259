"""Whatever ranks labels answers the same call."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from components.baselines.predictions import Predicted, Predictions
from components.evaluation import predictors
from components.evaluation.errors import EvaluationError
from components.evaluation.predictors import floor_predictors, slice_predictor, stored_predictors
from components.extreme.config import SliceConfig
from components.extreme.slice import train_slice
from components.labels.examples import Examples

NOTHING = None


def test_popularity_is_learnt_from_the_training_examples_of_the_data_set(examples):
    floor = floor_predictors(examples)["popular"]
    rows = np.array([2, 4])
    assert floor["D2"](rows, 5, NOTHING)[0].tolist() == [[0, 1, 2, 3, -1]] * 2
    assert floor["D1"](rows, 5, NOTHING)[0].tolist() == [[0, 2, 3, -1, -1]] * 2
    assert floor["D1-new"](rows, 2, NOTHING)[0].tolist() == [[3, -1]] * 2


def test_co_occurrence_is_learnt_from_all_labels_of_training_members(examples):
    floor = floor_predictors(examples)["co-occurrence"]["D1-new"]
    rows = np.array([2, 4])
    # Data engineers also search spark, nurses ICU nurse.
    assert floor(rows, 2, examples.context[rows])[0].tolist() == [[1, -1], [3, -1]]


def test_popular_companions_are_discounted_where_validation_members_are_better_served(monkeypatch):
    monkeypatch.setattr(predictors, "_CHOSEN_AT", 1)
    # Both labels 1 and 2 follow 0; 2 does so more often, but follows everything else too.
    trails = [[1, 1, 0, 0]] * 2 + [[1, 0, 1, 0]] * 3 + [[0, 0, 1, 1]] * 9

    def served_with(wanted):
        past = sp.csr_matrix(np.array([*trails, [1, 0, 0, 0], [1, 0, 0, 0]], np.int32))
        target = np.zeros(past.shape, np.int8)
        target[-2:, wanted] = 1
        columns = {
            "member_id": [f"member {i}" for i in range(16)],
            "split": pa.array([0] * 14 + [1, 2], pa.int8()),
            "searched": [True] * 16,
        }
        labels = pa.table({"text": list("abcd"), "kind": ["query"] * 4, "count": [5, 2, 12, 9]})
        data = Examples(pa.table(columns), labels, [past, past, sp.csr_matrix(target)])
        floor = floor_predictors(data)["co-occurrence"]["D1-new"]
        return floor(np.array([15]), 1, data.context[[15]])[0].tolist()

    assert served_with(1) == [[1]]
    assert served_with(2) == [[2]]


def test_repeat_gives_the_rows_own_past(examples):
    floor = floor_predictors(examples)["repeat"]["D2"]
    assert floor(np.array([3, 2]), 2, NOTHING)[0].tolist() == [[2, 4], [0, -1]]


def test_slice_ranks_for_the_vectors_of_the_rows():
    x = np.eye(4, dtype=np.float32).repeat(5, axis=0)
    predict = slice_predictor(train_slice(x, sp.csr_matrix(x > 0), SliceConfig(), seed=1), x)
    assert predict(np.array([19, 0]), 1, NOTHING)[0].tolist() == [[3], [0]]
    exclude = sp.csr_matrix(np.array([[0, 0, 0, 1], [0, 0, 0, 0]]))
    assert predict(np.array([19, 0]), 4, exclude)[0][0].tolist().count(3) == 0


@pytest.fixture
def stored():
    said = Predicted(np.array([2, 5, 7]), np.array([[3, 1], [0, -1], [4, 2]], np.int32))
    return stored_predictors(Predictions("ACG", {}, {"D1-new": said}))["D1-new"]


def test_stored_predictions_answer_for_the_members_they_are_of(stored):
    assert stored(np.array([7, 2]), 1, NOTHING)[0].tolist() == [[4], [3]]
    labels, scores = stored(np.array([5]), 4, NOTHING)
    assert labels.tolist() == [[0, -1, -1, -1]]
    assert scores.tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize("row", [3, 9])
def test_stored_predictions_of_other_members_are_an_error(stored, row):
    with pytest.raises(EvaluationError, match="ACG on D1-new: its predictions are of other"):
        stored(np.array([2, row]), 2, NOTHING)


def test_stored_predictions_of_the_excluded_past_are_an_error(stored):
    past = sp.csr_matrix(np.array([[0, 1, 0, 0, 0]]))
    with pytest.raises(EvaluationError, match="labels of the past"):
        stored(np.array([2]), 2, past)
    assert stored(np.array([5]), 2, past)[0].tolist() == [[0, -1]]
