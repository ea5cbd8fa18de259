"""What a baseline predicts is kept as it said it."""

import json

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from components.baselines.errors import BaselineError
from components.baselines.predictions import rank_test_rows, read_predictions, write_predictions
from components.labels.examples import Examples

SAID = {
    "D1": (np.array([3, 5]), np.array([[1, 0, -1], [2, -1, -1]])),
    "D1-new": (np.array([5]), np.array([[0, -1, -1]])),
}


def test_predictions_are_read_as_they_were_written(tmp_path):
    write_predictions(tmp_path / "said", "ACG", SAID, {"seconds": 1.5, "unknown": 0.25})
    found = read_predictions(tmp_path / "said")
    assert found is not None
    method, about, datasets = found
    assert (method, about) == ("ACG", {"seconds": 1.5, "unknown": 0.25})
    assert list(datasets) == list(SAID)
    for name, (rows, labels) in SAID.items():
        assert datasets[name].rows.tolist() == rows.tolist()
        assert datasets[name].labels.tolist() == labels.tolist()
        assert datasets[name].labels.dtype == np.int32


def test_an_empty_directory_says_that_a_method_was_not_run(tmp_path):
    assert read_predictions(tmp_path) is None


def test_damaged_predictions_are_named(tmp_path):
    write_predictions(tmp_path / "said", "ACG", SAID, {})
    np.save(tmp_path / "said" / "D1" / "rows.npy", np.arange(5))
    with pytest.raises(BaselineError, match=r"D1/labels.npy: labels \[2, 3\] for rows \[5\]"):
        read_predictions(tmp_path / "said")
    (tmp_path / "said" / "D1" / "rows.npy").unlink()
    with pytest.raises(BaselineError, match="D1: no readable"):
        read_predictions(tmp_path / "said")
    (tmp_path / "said" / "about.json").write_text(json.dumps({"seconds": 1}))
    with pytest.raises(BaselineError, match="about.json"):
        read_predictions(tmp_path / "said")


def test_a_method_ranks_for_the_members_that_are_measured_and_on_d1_new_without_their_past():
    past = sp.csr_matrix(np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], np.int32))
    target = sp.csr_matrix(np.array([[1, 0, 0], [0, 1, 1], [0, 1, 1]], np.int8))
    table = pa.table(
        {
            "member_id": ["ann", "bob", "cho"],
            "split": pa.array([0, 2, 2], pa.int8()),
            "searched": [True, True, False],
        }
    )
    labels = pa.table({"text": list("abc"), "kind": ["query"] * 3, "count": [1] * 3})
    data = Examples(table, labels, [past, past, target])
    asked = []

    def rank(rows, k, exclude):
        asked.append((rows.tolist(), k, None if exclude is None else exclude.toarray().tolist()))
        return np.zeros((len(rows), k), np.int32), np.zeros((len(rows), k), np.float32)

    found = rank_test_rows(rank, data, members=9, depth=100, seed=1)
    assert asked == [
        ([1, 2], 3, None),
        ([1, 2], 3, [[1, 0, 0], [0, 1, 0]]),
        ([1, 2], 3, None),
        ([2], 3, None),
    ]
    assert {name: said.labels.shape for name, said in found.items()} == {
        "D1": (2, 3),
        "D1-new": (2, 3),
        "D2": (2, 3),
        "D3": (1, 3),
    }
