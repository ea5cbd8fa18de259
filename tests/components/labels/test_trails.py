"""What of each trail can become a label."""

import pyarrow as pa
import pytest

from components.activity.config import JOBS
from components.labels.trails import past_labels
from tests.components.labels.test_examples import searches

LABELS = pa.table({"kind": ["query", "entity", "query"], "text": ["nurse", "c_acme nurse", "cook"]})


@pytest.fixture
def sessions(write_parts_in, tmp_path):
    ann = [*searches("ann", "nurse", "Nurse "), ("ann", 3, "APPLY", "Acme", "Nurse")]
    return write_parts_in(tmp_path / "sessions", ann, searches("bob", "cook", "pilot"))


def test_a_past_holds_each_label_of_the_whole_trail_once(sessions):
    past = past_labels(sessions, LABELS, pa.chunked_array([["bob", "nobody", "ann"]]), JOBS)
    assert past.toarray().tolist() == [[0, 0, 1], [0, 0, 0], [1, 1, 0]]
