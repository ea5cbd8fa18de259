"""A marketplace of five labels: two members to learn from, three to be tested on."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from components.labels.examples import SPLITS, Examples

LABELS = ["data engineer", "spark", "nurse", "icu nurse", "c_acme_inc nurse"]
# member, side, searched, context (the larger, the more recent), target
TRAILS = [
    ("ann", "train", True, [1, 2, 0, 0, 0], [1, 0, 0, 0, 0]),
    ("bob", "train", True, [0, 0, 1, 0, 0], [0, 0, 1, 1, 0]),
    ("cho", "test", True, [1, 0, 0, 0, 0], [1, 1, 0, 0, 0]),
    ("dan", "test", False, [0, 0, 2, 0, 1], [0, 0, 0, 1, 0]),
    ("eve", "test", True, [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]),
]


@pytest.fixture
def examples():
    members, sides, searched, context, target = zip(*TRAILS, strict=True)
    table = pa.table(
        {
            "member_id": members,
            "split": pa.array([SPLITS[side] for side in sides], pa.int8()),
            "first_session": pa.array([0] * 5, pa.int32()),
            "context_end": pa.array([1] * 5, pa.int32()),
            "target_end": pa.array([2] * 5, pa.int32()),
            "searched": searched,
        }
    )
    past = sp.csr_matrix(np.array(context, np.int32))
    target = sp.csr_matrix(np.array(target, np.int8))
    labels = pa.table(
        {
            "label": pa.array(range(5), pa.int32()),
            "kind": ["query"] * 4 + ["entity"],
            "text": LABELS,
            "count": [1, 1, 1, 1, 4],
        }
    )
    return Examples(table, labels, [past, past, target])
