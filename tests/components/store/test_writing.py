"""Near-real-time writes land where they belong, in any order, and survive pushes."""

import numpy as np
import pytest

from components.store.errors import StoreError
from components.store.push import push
from components.store.store import open_store

from .conftest import DAY, make_records

NAMES = [f"m{row:02}" for row in range(30)]


def times(store, *members):
    """Seconds after the pushes' data time, per member; None for one without record."""
    records = [store.get(member) for member in members]
    return [None if one is None else (one.data_time - DAY) // 1_000_000 for one in records]


def at(second):
    return DAY + second * 1_000_000


def test_a_write_is_read_at_once(pushed, reader, writer):
    pushed("monday", mark=1.0)
    store = reader()
    assert store.get("m3").vector[0] == 1.0
    records = make_records(["m3", "new"], mark=9.0, data_time=at(5))
    written = writer.write(records, model="v1")
    assert written.versions == {1: 2}
    assert (written.refused, written.deleted) == (0, 0)
    many = store.get_many(["m3", "new", "m4"])
    assert many.vectors[:, 0].tolist() == [9.0, 9.0, 1.0]
    assert many.labels[1].tolist() == records.labels[1].tolist()


def test_the_newest_data_wins_in_any_order(pushed, writer):
    """A consumer may deliver twice, or late: the state is that of the newest data."""
    pushed("monday")
    for second in (5, 3, 5, 9, 1):
        writer.write(make_records(["m3"], mark=float(second), data_time=at(second)), model="v1")
    assert writer.get("m3").vector[0] == 9.0
    written = writer.write(make_records(["m3"], data_time=at(9)), model="v1")
    assert (written.versions, written.refused) == ({1: 0}, 1)


def test_data_that_the_push_already_held_is_refused(pushed, writer):
    pushed("monday", mark=1.0)
    assert writer.write(make_records(["m3"], mark=9.0, data_time=DAY), model="v1").refused == 1
    assert writer.get("m3").vector[0] == 1.0


def test_records_of_another_model_are_refused(pushed, writer):
    pushed("monday")
    written = writer.write(make_records(["m3"], mark=9.0), model="v2")
    assert (written.versions, written.refused) == ({}, 1)
    assert writer.get("m3").vector[0] == 0.0


def test_records_of_the_wrong_shape_are_an_error(pushed, writer):
    pushed("monday")
    with pytest.raises(StoreError, match="do not fit version 1"):
        writer.write(make_records(["m3"], surfaces=2), model="v1")


def test_records_that_disagree_with_themselves_are_an_error(pushed, writer):
    pushed("monday")
    good = make_records(["m3", "m4"])
    for bad in (
        good._replace(member_ids=["m3"]),
        good._replace(labels=good.labels[:, 0]),
        good._replace(scores=good.scores[:, :, :2]),
        good._replace(data_times=np.array([DAY])),
    ):
        with pytest.raises(StoreError, match="records with vectors"):
            writer.write(bad, model="v1")
    with pytest.raises(StoreError, match="row 1: data time lies before 1970"):
        writer.write(good._replace(data_times=np.array([DAY, -1])), model="v1")


def test_nothing_lands_before_the_first_push(writer):
    assert writer.write(make_records(["m3"]), model="v1").refused == 1


def test_a_reader_does_not_write(pushed, reader):
    pushed("monday")
    for change in (
        lambda: reader().write(make_records(["m1"]), model="v1"),
        lambda: reader().delete("m1"),
        lambda: reader().rollback(),
        lambda: reader().expire(1),
    ):
        with pytest.raises(StoreError, match="opened as a reader"):
            change()


def test_writes_during_a_push_land_on_both_versions(url, pushed, interrupted, writer):
    """Before their shard and after it, on the member pushed and on one the push has not."""
    pushed("monday", NAMES)
    run = interrupted("tuesday", NAMES, shards=2, data_time=at(10))
    members = ["m00", "m29", "new"]
    written = writer.write(make_records(members, data_time=at(20)), model="v1")
    assert written.versions == {1: 3, 2: 3}
    push(url, "jobs", run, data_time=at(10), shard_size=7)
    assert times(writer, *members, "m15") == [20, 20, 20, 10]


def test_a_push_of_newer_data_replaces_what_was_written(pushed, writer):
    pushed("monday", NAMES)
    writer.write(make_records(["m03"], data_time=at(5)), model="v1")
    writer.write(make_records(["m04"], data_time=at(20)), model="v1")
    pushed("tuesday", NAMES, data_time=at(10))
    assert times(writer, "m03", "m04", "m05") == [10, 20, 10]


def test_writes_since_the_pushed_data_was_read_are_carried_over(pushed, writer):
    """A push takes hours from reading the day's actions to the switch."""
    pushed("monday", NAMES)
    writer.write(make_records(["m04", "new"], mark=9.0, data_time=at(20)), model="v1")
    for day in range(1, 4):
        pushed(f"day {day}", NAMES, data_time=at(day))
    assert times(writer, "m04", "new", "m05") == [20, 20, 3]
    assert writer.get("new").vector[0] == 9.0


def test_rolling_back_loses_no_write(pushed, writer):
    pushed("monday", NAMES)
    pushed("tuesday", NAMES, data_time=at(10))
    writer.write(make_records(["m04"], data_time=at(20)), model="v1")
    writer.rollback()
    assert times(writer, "m04", "m05") == [20, 0]


def test_a_new_model_takes_only_its_own_writes(url, pushed, interrupted, writer):
    pushed("monday", NAMES)
    run = interrupted("tuesday", NAMES, shards=2, encoder="v2", data_time=at(10))
    old = writer.write(make_records(["m00"], mark=1.0, data_time=at(30)), model="v1")
    new = writer.write(make_records(["m00"], mark=2.0, data_time=at(20)), model="v2")
    assert (old.versions, new.versions) == ({1: 1}, {2: 1})
    assert writer.get("m00").vector[0] == 1.0
    push(url, "jobs", run, data_time=at(10), shard_size=7)
    assert writer.get("m00").vector[0] == 2.0
    assert times(writer, "m00") == [20]


def test_an_abandoned_push_takes_its_writes_along(url, pushed, interrupted, writer):
    pushed("monday", NAMES)
    interrupted("tuesday", NAMES, shards=2, encoder="v2")
    writer.write(make_records(["m00"], data_time=at(20)), model="v2")
    pushed("wednesday", NAMES, data_time=at(10))
    assert times(writer, "m00") == [10]


def test_writers_that_knew_an_older_state_catch_up(url, pushed, interrupted, source):
    """A consumer that runs for days sees versions come and go."""
    pushed("monday", NAMES)
    with open_store(url, dataset="jobs", role="writer") as consumer:
        consumer.write(make_records(["m00"], data_time=at(1)), model="v1")
        run = interrupted("tuesday", NAMES, shards=1)
        consumer.write(make_records(["m00"], data_time=at(2)), model="v1")
        push(url, "jobs", run, data_time=DAY, shard_size=7, keep=1)
        consumer.write(make_records(["m01"], data_time=at(3)), model="v1")
        assert times(consumer, "m00", "m01") == [2, 3]
        assert consumer.write(make_records(["m01"], data_time=at(4)), model="v1").versions == {2: 1}
