"""A push appears whole or not at all, and the versions before it can be returned to."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.store.errors import StoreError
from components.store.push import abandon, push
from components.store.records import Schema
from components.store.store import open_store

from .conftest import DAY, DIMENSION, make_records, write_source

NAMES = [f"m{row:02}" for row in range(30)]


def mark(store, member="m1"):
    """Which push the member's record is of."""
    return store.get(member).vector[0]


def test_readers_move_to_the_new_version_by_themselves(pushed, reader):
    first = pushed("monday", mark=1.0)
    store = reader()
    assert mark(store) == 1.0
    second = pushed("tuesday", mark=2.0)
    assert mark(store) == 2.0
    assert (first.number, second.number) == (1, 2)
    assert store.current() == second
    assert second.pushed_at > first.pushed_at > 0
    assert first.checksum != second.checksum


def test_members_that_are_not_in_the_new_version_are_gone(pushed, reader):
    pushed("monday", ["a", "b"])
    pushed("tuesday", ["b", "c"])
    assert [reader().get(name) is not None for name in "abc"] == [False, True, True]


def test_an_unfinished_push_is_not_seen(pushed, interrupted, reader):
    pushed("monday", NAMES, mark=1.0)
    interrupted("tuesday", NAMES, shards=3, mark=2.0)
    store = reader()
    assert set(store.vectors(NAMES)[0][:, 0]) == {1.0}
    assert [version.status for version in store.versions()] == ["current", "pushing"]


def test_a_push_goes_on_where_it_was_killed(url, pushed, interrupted, reader, caplog):
    pushed("monday", NAMES, mark=1.0)
    run = interrupted("tuesday", NAMES, shards=3, mark=2.0)
    with caplog.at_level(logging.INFO):
        version = push(url, "jobs", run, data_time=DAY, shard_size=7)
    assert "finished_shards=3" in caplog.text
    assert version.number == 2
    assert set(reader().vectors(NAMES)[0][:, 0]) == {2.0}


def test_a_shard_that_changed_since_is_written_again(url, pushed, interrupted, reader, writer):
    """What a killed push left is read back before it counts as done."""
    pushed("monday", NAMES, mark=1.0)
    run = interrupted("tuesday", NAMES, shards=3, mark=2.0)
    writer.delete("m03")
    push(url, "jobs", run, data_time=DAY, shard_size=7)
    assert reader().vectors(NAMES)[1].sum() == len(NAMES) - 1


def test_a_push_of_another_source_starts_anew(pushed, interrupted, reader):
    interrupted("monday", ["x", *NAMES], shards=3, mark=1.0)
    version = pushed("tuesday", NAMES, mark=2.0)
    assert [one.number for one in reader().versions()] == [version.number] == [2]
    assert reader().get("x") is None


def test_an_unfinished_push_can_be_abandoned(url, pushed, interrupted, reader):
    pushed("monday", NAMES)
    interrupted("tuesday", NAMES, shards=3)
    assert abandon(url, "jobs") == [2]
    assert [version.number for version in reader().versions()] == [1]


def test_of_two_pushes_the_later_one_wins(url, pushed, interrupted, source):
    """One that was believed dead can neither write nor switch any more."""
    pushed("monday", NAMES)
    interrupted("tuesday", NAMES, shards=2)
    with open_store(url, dataset="jobs", role="writer") as store:
        began = store.versions()[-1]
        first = store.backend.begin(began, "a", None)
        second = store.backend.begin(began, "a", None)
        assert first.number == second.number
        with pytest.raises(StoreError, match="another push took its place"):
            store.backend.put(first, [b"m1"], [b"12345678"])
        with pytest.raises(StoreError, match="another push took its place"):
            store.backend.switch(first, members=1, checksum="", pushed_at=1)


def test_only_so_many_versions_are_kept(pushed, reader):
    for name in ("monday", "tuesday", "wednesday", "thursday"):
        pushed(name, keep=3)
    assert [version.number for version in reader().versions()] == [2, 3, 4]


def test_rolling_back_is_seen_at_once(pushed, reader, writer):
    pushed("monday", mark=1.0)
    pushed("tuesday", mark=2.0)
    store = reader()
    assert mark(store) == 2.0
    assert writer.rollback().number == 1
    assert mark(store) == 1.0
    assert [version.status for version in store.versions()] == ["current", "withdrawn"]


def test_labels_are_rolled_back_too(url, source, reader, writer):
    for name in ("nurse", "cook"):
        labels = pa.table({"label": [0], "kind": ["title"], "text": [name]})
        push(url, "jobs", source(name, ["m1"]), data_time=DAY, labels=labels)
    writer.rollback()
    assert reader().labels()["text"].to_pylist() == ["nurse"]


def test_without_an_earlier_version_there_is_no_way_back(pushed, writer):
    pushed("monday")
    with pytest.raises(StoreError, match="no version before 1 is kept"):
        writer.rollback()
    pushed("tuesday")
    writer.rollback()
    with pytest.raises(StoreError, match="no version before 1 is kept"):
        writer.rollback()


def test_a_withdrawn_version_is_dropped_before_a_sound_one(pushed, writer):
    pushed("monday", mark=1.0)
    pushed("tuesday", mark=2.0)
    writer.rollback()
    pushed("wednesday", mark=3.0)
    assert [version.number for version in writer.versions()] == [1, 3]
    assert writer.rollback().number == 1
    assert mark(writer) == 1.0


def test_expiring_leaves_the_current_version(pushed, writer):
    for name in ("monday", "tuesday", "wednesday"):
        pushed(name, keep=3)
    assert writer.expire(1) == [2, 1]
    assert [version.number for version in writer.versions()] == [3]
    assert mark(writer) is not None
    with pytest.raises(StoreError, match="keep 0"):
        writer.expire(0)


def test_a_scan_of_a_version_that_is_dropped_says_so(pushed, writer):
    pushed("monday", 600)
    scan = writer.scan(batch=1)
    next(scan)
    pushed("tuesday", keep=1)
    with pytest.raises(StoreError, match="version 1 was dropped meanwhile"):
        list(scan)


def test_dimensions_may_change_from_push_to_push(url, pushed, tmp_path, reader):
    pushed("monday")
    store = reader()
    assert store.vectors(["m1"])[0].shape == (1, DIMENSION)
    records = make_records(["m1"])
    wide = records._replace(vectors=np.ones((1, 40), np.float32))
    version = push(url, "jobs", write_source(tmp_path / "wide", wide), data_time=DAY)
    assert version.schema == Schema(40, 3)
    assert store.vectors(["m1"])[0].tolist() == [[1.0] * 40]


def test_several_processes_push_the_same(url, source, reader):
    names = [f"m{row}" for row in range(300)]
    run = source("monday", names)
    one = push(url, "jobs", run, data_time=DAY, shard_size=50)
    several = push(url, "jobs", run, data_time=DAY, shard_size=50, workers=2)
    assert several.checksum == one.checksum
    assert reader().vectors(names)[1].all()


@pytest.mark.parametrize("url", ["embedded"], indirect=True)
class TestSources:
    """What cannot be pushed, whatever the store."""

    def test_a_member_twice(self, url, source):
        with pytest.raises(StoreError, match="member b twice"):
            push(url, "jobs", source("monday", ["a", "b", "c", "b"]), data_time=DAY)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 70_000.0])
    def test_a_vector_that_half_precision_cannot_hold(self, url, tmp_path, value):
        records = make_records(["a", "b"])
        records.vectors[1, 3] = value
        with pytest.raises(StoreError, match="member b: vector is not finite"):
            push(url, "jobs", write_source(tmp_path / "run", records), data_time=DAY)

    @pytest.mark.parametrize("name", ["", "x" * 256])
    def test_an_id_that_is_none(self, url, source, name):
        with pytest.raises(StoreError, match="a member id takes 1 to 255 bytes"):
            push(url, "jobs", source("monday", [name]), data_time=DAY)

    def test_vectors_of_another_encoder(self, url, source):
        with pytest.raises(StoreError, match="vectors of v1, not of v2"):
            push(url, "jobs", source("monday", ["a"]), data_time=DAY, model="v2")

    def test_a_schema_that_the_source_does_not_have(self, url, source):
        for schema in (Schema(99, 3), Schema(DIMENSION, 3, ("any", "explore"))):
            with pytest.raises(StoreError, match="the schema wants"):
                push(url, "jobs", source("monday", ["a"]), data_time=DAY, schema=schema)

    def test_damaged_files(self, url, source):
        run = source("monday", ["a"])
        run.entities.write_bytes(b"PAR1")
        with pytest.raises(StoreError, match="not readable as entities"):
            push(url, "jobs", run, data_time=DAY)
        pq.write_table(pa.table({"member_id": ["a"]}), run.entities)
        with pytest.raises(StoreError, match="no column labels, scores"):
            push(url, "jobs", run, data_time=DAY)
        (run.vectors / "members.arrow").write_bytes(b"")
        with pytest.raises(StoreError, match="not readable as vectors"):
            push(url, "jobs", run, data_time=DAY)

    def test_more_versions_than_there_is_room_for(self, url, pushed):
        for day in range(8):
            pushed(f"day {day}", 3, keep=100)
        with pytest.raises(StoreError, match="expire some first"):
            pushed("one more", 3)
