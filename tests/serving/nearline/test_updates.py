"""From messages to records, without a broker: what the store holds is what the daily run makes."""

import random

import numpy as np
import pytest

from components.store.errors import StoreError
from components.store.store import open_store
from serving.nearline import state
from serving.nearline.errors import NearlineError
from serving.nearline.state import StaleError
from tests.serving.nearline.conftest import DATASET, MINUTE, NOON, messages, nothing_to_bury

END = {"member_id": "end", "channel": "search", "action": "JOB_SEARCH", "query": "nurse"}
"""An action of somebody else's; its time lets everything before it end."""


def feed(setting, partition, batch, *, size=50):
    for start in range(0, len(batch), size):
        more = True
        part = {partition.number: batch[start : start + size]}
        while more:
            more = setting.updates.take([partition], part, nothing_to_bury)
            part = {}


def closed(actions):
    latest = max(action["ts"] for action in actions)
    return [*actions, END | {"ts": latest + 60 * MINUTE}]


def assert_as_daily(store, daily, members=None):
    members = sorted(daily.vectors) if members is None else members
    found = store.get_many(members)
    assert found.found.all()
    for row, member in enumerate(members):
        expected = daily.vectors[member].astype(np.float16).astype(np.float32)
        np.testing.assert_allclose(found.vectors[row], expected, rtol=2e-3, atol=2e-3)
        for surface, column in enumerate(("labels", "explore_labels")):
            labels = daily.entities[member][column]
            assert found.labels[row, surface, : len(labels)].tolist() == labels, (member, column)
            assert (found.labels[row, surface, len(labels) :] == -1).all()


@pytest.mark.parametrize("size", [9, 1000])
def test_updates_from_a_snapshot_end_as_the_daily_run_does(world, setting, size):
    now = setting()
    feed(now, now.partition(), messages(closed(world.since)), size=size)
    assert_as_daily(now.store, world.today)


def test_updates_from_nothing_end_as_the_daily_run_does(world, setting):
    now = setting(snapshot=None)
    feed(now, now.partition(), messages(closed(world.actions)))
    assert_as_daily(now.store, world.today)


def test_only_open_chunks_are_encoded(world, setting):
    now = setting()
    feed(now, now.partition(), messages(closed(world.since)), size=1000)
    updated = len({action["member_id"] for action in world.since}) + 1
    assert now.count("chunks") < 2 * updated


def test_actions_out_of_order_and_twice_change_nothing(world, setting):
    now = setting(lateness_minutes=30)
    shuffled = closed(world.since)
    chance = random.Random(1)
    shuffled.sort(key=lambda action: action["ts"] + chance.randrange(25 * MINUTE))
    twice = [action for action in shuffled for _ in range(1 + (chance.random() < 0.3))]
    later = [END | {"ts": shuffled[-1]["ts"] + 120 * MINUTE}]
    feed(now, now.partition(), messages(twice + later + shuffled))
    assert_as_daily(now.store, world.today)


def test_a_session_stays_open_until_its_idle_time_and_the_lateness_have_passed(world, setting):
    now = setting(snapshot=None, lateness_minutes=5)
    partition = now.partition()
    action = {**END, "member_id": "ann", "ts": NOON}
    feed(now, partition, messages([action, END | {"ts": NOON + 35 * MINUTE}]))
    assert now.store.get("ann") is None
    feed(now, partition, messages([END | {"ts": NOON + 35 * MINUTE + 1}], first=2))
    assert now.store.get("ann").data_time == NOON


def test_the_clock_closes_the_session_of_a_quiet_partition(world, setting):
    now = setting(snapshot=None, lateness_minutes=0)
    partition = now.partition()
    feed(now, partition, messages([{**END, "member_id": "ann", "ts": NOON}]))
    assert now.store.get("ann") is None, "more may be waiting in the topic"
    partition.caught_up = True
    feed(now, partition, messages([END | {"ts": NOON + MINUTE}], first=1))
    assert now.store.get("ann").data_time == NOON


def test_a_session_without_end_is_brought_up_to_date_in_between(world, setting):
    now = setting(snapshot=None, lateness_minutes=0)
    partition = now.partition()
    restless = [{**END, "member_id": "bot", "ts": NOON + n * 20 * MINUTE} for n in range(20)]
    feed(now, partition, messages(restless), size=1)
    between = now.store.get("bot")
    assert NOON + 120 * MINUTE < between.data_time < restless[-1]["ts"]
    feed(now, partition, messages(closed(restless)[-1:], first=20))
    other = now.partition(1)
    feed(now, other, messages(closed(restless)), size=1000)
    trails = []
    for made in (partition, other):
        with made.state.change():
            trails.append(made.state.trail("bot"))
    assert trails[0].document.tolist() == trails[1].document.tolist()
    assert trails[0].until == trails[1].until == restless[-1]["ts"]


def test_what_comes_after_its_place_was_encoded_is_counted_and_left_to_the_daily_run(
    world, setting
):
    now = setting()
    batch = messages(closed(world.since))
    partition = now.partition()
    feed(now, partition, batch)
    before = now.store.get("member 01")
    late = {**END, "member_id": "member 01", "ts": before.data_time - 5 * MINUTE}
    after = END | {"ts": batch[-1].time + 60 * MINUTE}
    known, chunks = now.count("late_actions"), now.count("chunks")
    feed(now, partition, messages([late, after], first=len(batch)))
    assert now.count("late_actions") == known + 1
    assert now.count("chunks") == chunks + 1, "the other's alone"
    assert (now.store.get("member 01").vector == before.vector).all()


def test_a_batch_that_the_store_does_not_take_is_repeated_whole(world, setting, monkeypatch):
    now = setting()
    partition = now.partition()
    batch = messages(closed(world.since))

    def refuse(*_, **__):
        raise StoreError("out of reach")

    with monkeypatch.context() as away:
        away.setattr(now.store, "write", refuse)
        with pytest.raises(StoreError):
            feed(now, partition, batch, size=1000)
    partition.state.reload()
    assert partition.state.offset is None
    feed(now, partition, batch)
    assert_as_daily(now.store, world.today)


def test_records_written_before_a_crash_are_written_again_unharmed(world, setting, monkeypatch):
    now = setting()
    partition = now.partition()
    batch = messages(closed(world.since))
    half = len(batch) // 2
    feed(now, partition, batch[:half])

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(partition.state, "settle", crash)
        with pytest.raises(KeyboardInterrupt):
            feed(now, partition, batch[half:], size=1000)
    partition.state.close()
    again = now.partition()
    feed(now, again, batch[again.state.offset :])
    assert_as_daily(now.store, world.today)


def test_open_sessions_survive_a_restart(world, setting):
    now = setting()
    batch = messages(closed(world.since))
    for start in range(0, len(batch), 20):
        partition = now.partition()
        assert (partition.state.offset or 0) == start
        feed(now, partition, batch[start : start + 20])
        partition.state.close()
    assert_as_daily(now.store, world.today)


def test_state_of_another_snapshot_or_encoder_is_begun_anew(world, setting):
    now = setting(snapshot=None)
    partition = now.partition()
    feed(now, partition, messages(world.since[:30]))
    partition.state.close()
    other = setting()
    assert other.partition().state.offset is None


def test_who_took_the_partition_meanwhile_is_noticed(world, setting):
    now = setting()
    partition = now.partition()
    batch = messages(closed(world.since))
    feed(now, partition, batch[:20])
    partition.state.offset = 10
    with pytest.raises(StaleError):
        feed(now, partition, batch[10:20])
    partition.state.reload()
    assert partition.state.offset == 20


def test_deleted_members_are_not_kept_either(world, setting):
    now = setting()
    partition = now.partition()
    batch = messages(closed(world.since))
    feed(now, partition, batch[:100])
    now.store.delete("member 01")
    feed(now, partition, batch[100:])
    assert now.store.get("member 01") is None
    partition.state.close()
    reopened = now.partition()
    now.updates.take([reopened], {}, nothing_to_bury)
    with reopened.state.change():
        assert reopened.state.trail("member 01") is None
        assert reopened.state.trail("member 02") is not None


def test_a_full_disk_is_named_and_leaves_the_state_as_it_was(world, setting, monkeypatch):
    monkeypatch.setattr(state, "MAP_BYTES", 1 << 16)
    now = setting()
    partition = now.partition()
    batch = messages(closed(world.since))
    with pytest.raises(NearlineError, match="state/0: cannot be written"):
        feed(now, partition, batch)
    before = partition.state.offset
    partition.state.close()
    monkeypatch.undo()
    again = now.partition()
    assert (again.state.offset or 0) < before
    feed(now, again, batch[again.state.offset or 0 :])
    assert_as_daily(now.store, world.today)


def test_nothing_is_read_past_while_no_version_of_the_encoder_is_there(world, setting, tmp_path):
    now = setting()
    empty = open_store(tmp_path / "empty", dataset=DATASET, role="writer")
    now.updates._store = empty
    with pytest.raises(StoreError, match="no version of encoder"):
        feed(now, now.partition(), messages(closed(world.since)), size=1000)
