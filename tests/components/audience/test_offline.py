"""What audiences are measured on: nothing of a member's target is known when he is recommended."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.audience.errors import AudienceError
from components.audience.offline import sample_postings
from components.audience.trails import (
    People,
    read_applications,
    read_contexts,
    read_headlines,
    read_postings,
)

PEOPLE = People(
    np.array(["ann", "bob", "cem"], object),
    np.arange(3),
    np.array([2, 2, 1], np.int8),
    np.array([1, 1, 1]),
    np.array([2, 2, 2]),
)


@pytest.fixture
def sessions(write_parts):
    return write_parts(
        [
            ("ann", 1, "APPLY", "Acme", "Nurse"),
            ("ann", 1, "APPLY", "Acme", "Nurse"),
            ("ann", 2, "APPLY", "Bolt", "Ward  Nurse"),
            ("ann", 3, "APPLY", "Bolt", "after the target"),
            ("bob", 1, "VIEW", "Acme", "Nurse"),
            ("bob", 2, "APPLY", "Cord", "ward nurse"),
            ("bob", 2, "APPLY", "Bolt", "Ward  Nurse"),
        ],
        [("cem", 1, "APPLY", "Acme", "Nurse"), ("cem", 2, "APPLY", "Acme", "Driver")],
    )


def test_applications_are_told_before_and_after_the_cut(sessions):
    found = read_applications(sessions, ("APPLY",), PEOPLE).to_pylist()
    assert [(row["member_id"], row["title"], row["later"], row["times"]) for row in found] == [
        ("ann", "Nurse", False, 2),
        ("ann", "Ward  Nurse", True, 1),
        ("bob", "Ward  Nurse", True, 1),
        ("bob", "ward nurse", True, 1),
        ("cem", "Driver", True, 1),
        ("cem", "Nurse", False, 1),
    ]


def test_whole_trails_have_everything_and_nothing_later(sessions):
    found = read_applications(sessions, ("APPLY", "VIEW"))
    assert pa.compute.sum(found["times"]).as_py() == 9
    assert not any(found["later"].to_pylist())


def test_contexts_end_with_their_last_action(sessions):
    contexts = read_contexts(sessions, PEOPLE)
    assert contexts.actions.tolist() == [2, 1, 1]
    assert contexts.last.tolist() == [1_000_000, 4_000_000, 0]


def test_a_title_stands_for_all_its_postings(sessions):
    applications = read_applications(sessions, ("APPLY",), PEOPLE)
    sample = sample_postings(applications, PEOPLE, "test", most=10, seed=1)
    assert sample.titles == ["Ward  Nurse"]
    assert sample.companies == ["Bolt"]
    assert sample.relevant.toarray().tolist() == [[1, 1, 0]]
    assert sample.members.tolist() == [0, 1]


def test_other_splits_are_not_in_the_sample(sessions):
    applications = read_applications(sessions, ("APPLY",), PEOPLE)
    sample = sample_postings(applications, PEOPLE, "validation", most=10, seed=1)
    assert sample.titles == ["Driver"]
    nobody = PEOPLE._replace(split=np.zeros(3, np.int8))
    assert not sample_postings(applications, nobody, "test", most=10, seed=1).titles


def test_tables_and_columns_that_a_feed_lacks_are_empty_or_null(tmp_path):
    assert not len(read_headlines(tmp_path))
    (tmp_path / "postings").mkdir()
    pq.write_table(
        pa.table({"item_id": ["j1"], "title": ["Nurse"]}), tmp_path / "postings" / "part.parquet"
    )
    assert read_postings(tmp_path).to_pylist() == [
        {"item_id": "j1", "company": None, "title": "Nurse"}
    ]


def test_a_member_of_several_examples_is_taken_at_the_latest():
    table = {
        "member_id": np.array(["bob", "bob", "ann"], object),
        "split": np.array([0, 0, 2], np.int8),
        "context_end": np.array([8, 4, 3], np.int32),
        "target_end": np.array([10, 8, 4], np.int32),
    }
    people = People.of(SimpleNamespace(table=table))
    assert people.ids.tolist() == ["bob", "ann"]
    assert people.example.tolist() == [0, 2]
    assert people.context_end.tolist() == [8, 3]
    assert people.rows("test").tolist() == [1]


def test_unreadable_sessions_are_refused_by_name(tmp_path):
    with pytest.raises(AudienceError, match="holds no session parts"):
        read_applications(tmp_path, ("APPLY",))
    (tmp_path / "part-00000.parquet").write_text("not parquet")
    with pytest.raises(AudienceError, match="cannot be read"):
        read_applications(tmp_path, ("APPLY",))
