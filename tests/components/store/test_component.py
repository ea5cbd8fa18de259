"""The step of a pipeline, and what the command line says."""

from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.store import describe
from components.store.component import publish
from components.store.errors import StoreError
from components.store.push import newest_action
from components.store.store import open_store

from .conftest import make_records, write_source


@pytest.fixture
def published(tmp_path, write_parts):
    """A store to which the step pushed a run of two members."""
    run = write_source(tmp_path / "run", make_records(["ann", "bob"], surfaces=2))
    labels = {"label": list(range(50)), "kind": ["title"] * 50}
    labels["text"] = [f"job {label}" for label in range(50)]
    (tmp_path / "examples").mkdir()
    pq.write_table(pa.table(labels), tmp_path / "examples" / "labels.parquet")
    sessions = write_parts([("ann", 0, "query", "a"), ("ann", 0, "query", "b")])
    url, metrics = f"lmdb:{tmp_path / 'store'}", {}
    publish.python_func(
        vectors=SimpleNamespace(path=run.vectors),
        entities=SimpleNamespace(path=run.entities),
        examples=SimpleNamespace(path=tmp_path / "examples"),
        sessions=SimpleNamespace(path=sessions),
        store=url,
        dataset="jobs",
        keep=2,
        workers=1,
        metrics=SimpleNamespace(log_metric=metrics.__setitem__),
    )
    assert metrics == {"version": 1, "members": 2}
    return url


def test_the_step_publishes_a_run(published):
    with open_store(published, dataset="jobs") as store:
        assert store.current().data_time == 1_000_000
        assert store.get("ann").data_time == 1_000_000
        assert store.labels().num_rows == 50


def test_a_run_without_actions_has_no_data_time(tmp_path):
    with pytest.raises(StoreError, match="no actions"):
        newest_action(tmp_path)


def test_a_member_is_shown_with_the_names_of_labels(published):
    shown = describe.record(published, "jobs", "ann")
    best = make_records(["ann", "bob"], surfaces=2).labels[0, 1, 0]
    assert "member ann, version 1, data of 1970-01-01 00:00:01" in shown
    assert "vector of 12: 0.000 " in shown
    assert f"title job {best}" in shown.partition("explore:")[2]
    with pytest.raises(StoreError, match="holds no member 'carl'"):
        describe.record(published, "jobs", "carl")


def test_the_state_is_shown_and_changed(published):
    assert "version 1, current: 2 members of 12 dimensions, model v1" in describe.status(
        published, "jobs"
    )
    assert describe.delete(published, "jobs", "ann").startswith("ann: deleted")
    assert describe.delete(published, "jobs", "ann") == "ann: was deleted"
    with pytest.raises(StoreError, match="holds no member 'ann'"):
        describe.record(published, "jobs", "ann")
    assert "1 members deleted" in describe.status(published, "jobs")
    with pytest.raises(StoreError, match="no version before 1"):
        describe.rollback(published, "jobs")
