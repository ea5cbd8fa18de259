"""Every method is measured on the same members."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from components.labels.draw import draw_test_rows, measured_datasets
from components.labels.examples import Examples

MEMBERS = 12


@pytest.fixture
def examples():
    """Every third member is for testing; the last of them has nothing new in the target."""
    return made(searched=np.arange(MEMBERS) % 2 == 0)


def made(searched):
    target = np.eye(MEMBERS, 4, dtype=np.int8)
    target[8:, 0] = 1
    context = np.zeros((MEMBERS, 4), np.int32)
    context[-1, 0] = 1
    table = pa.table(
        {
            "member_id": [f"m{i}" for i in range(MEMBERS)],
            "split": pa.array(np.where(np.arange(MEMBERS) % 3 == 2, 2, 0), pa.int8()),
            "searched": searched,
        }
    )
    labels = pa.table({"text": list("abcd"), "kind": ["query"] * 4, "count": [1] * 4})
    past = sp.csr_matrix(context)
    return Examples(table, labels, [past, past, sp.csr_matrix(target)])


def test_few_members_are_all_drawn(examples):
    rows, labels = draw_test_rows(examples, "D1", members=100, seed=1)
    assert rows.tolist() == [2, 8, 11]
    assert labels.toarray().tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]]


def test_of_too_many_the_seed_draws_the_same_ones_with_their_labels(examples):
    rows, labels = draw_test_rows(examples, "D1", members=2, seed=1)
    again, _ = draw_test_rows(examples, "D1", members=2, seed=1)
    assert len(rows) == 2
    assert rows.tolist() == again.tolist() == sorted(rows)
    assert (labels != examples.target[rows]).nnz == 0
    assert {
        tuple(draw_test_rows(examples, "D1", members=2, seed=seed)[0]) for seed in range(30)
    } == {(2, 8), (2, 11), (8, 11)}


def test_members_without_a_label_of_the_data_set_are_not_measured(examples):
    assert draw_test_rows(examples, "D1-new", members=100, seed=1)[0].tolist() == [2, 8]


def test_there_is_no_d3_where_nobody_searches(examples):
    assert measured_datasets(examples) == ["D1", "D1-new", "D2", "D3"]
    assert measured_datasets(made(np.zeros(MEMBERS, bool))) == ["D1", "D1-new", "D2"]
