"""The consumer with a real broker: nothing lost, whatever goes away and when."""

import json
import multiprocessing
import os
import sys
import threading
from contextlib import contextmanager
from multiprocessing import forkserver

import pytest

from components.store.store import open_store
from serving.nearline.config import NearlineConfig
from serving.nearline.consumer import ActionConsumer
from tests.components.store.servers import Server
from tests.serving.nearline.broker import Broker, wait_until
from tests.serving.nearline.conftest import DATASET, NOON, messages
from tests.serving.nearline.test_updates import assert_as_daily, feed

FAST = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300, "socket.timeout.ms": 2000}


PROCESSES = multiprocessing.get_context("forkserver")
"""Processes of their own, forked from one that has imported what takes long."""


@pytest.fixture(scope="module", autouse=True)
def _imported_meanwhile():
    PROCESSES.set_forkserver_preload(["serving.nearline.__main__"])
    forkserver.ensure_running()


@pytest.fixture(scope="module")
def broker():
    running = Broker()
    yield running
    running.stop()


@pytest.fixture
def run(broker, tmp_path):
    """Run a consumer in a thread of its own; leaving the block makes it leave its group."""

    @contextmanager
    def running(setting, topic, *, group="updates", state="state"):
        consumer = ActionConsumer(
            {"bootstrap.servers": broker.address} | FAST,
            f"{group}-{topic}",
            setting.updates,
            tmp_path / state,
            NearlineConfig(topic=topic),
            setting.metrics,
            since=NOON,
        )
        failed = []

        def work():
            try:
                consumer.run()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield consumer
        finally:
            consumer.stop()
            thread.join(60)
        assert not failed, failed

    return running


def up_to_date(setting, daily):
    """Return whether the newest action of everybody who came since the push is in the store."""
    came = {member: time for member, time in daily.times.items() if time > NOON}
    return setting.store.get_many(list(came)).data_times.tolist() == list(came.values())


def test_what_is_in_the_topic_ends_in_the_store_and_what_is_bad_apart(world, setting, broker, run):
    topic = broker.topic()
    stranger = {**world.since[0], "action": "DANCE"}
    bad = [b"not JSON", b"\xff", json.dumps(stranger).encode()]
    actions = world.since
    broker.send(topic, [*actions[:50], *bad, *actions[50:]])
    now = setting()
    with run(now, topic):
        wait_until(lambda: up_to_date(now, world.today), "every member is up to date")
    assert_as_daily(now.store, world.today)
    letters = broker.read(f"{topic}-dead", 3)
    assert [letter.value() for letter in letters] == bad
    headers = [dict(letter.headers()) for letter in letters]
    assert [header["reason"] for header in headers] == [
        b"malformed row",
        b"invalid UTF-8",
        b"unknown action",
    ]
    assert headers[0]["offset"] == b"50"
    assert now.count("dead_letters", reason="unknown action") == 1
    assert (
        now.metrics.registry.get_sample_value("intent_nearline_lag_messages", {"partition": "0"})
        == 0
    )


def test_consumers_of_a_group_share_the_partitions(world, setting, broker, run):
    topic = broker.topic(partitions=4)
    half = len(world.since) // 2
    one, two = setting(), setting()
    with run(one, topic, state="one"):
        broker.send(topic, world.since[:half])
        wait_until(lambda: one.count("messages") >= half, "the first reads all")
        with run(two, topic, state="two"):
            wait_until(lambda: two.count("messages"), "the second takes partitions over")
            broker.send(topic, world.since[half:])
            wait_until(lambda: up_to_date(one, world.today), "every member is up to date")
    assert_as_daily(one.store, world.today)


def test_a_store_or_a_broker_that_goes_away_is_waited_for(world, setting, broker, run, tmp_path):
    topic = broker.topic()
    third = len(world.since) // 3
    server = Server(tmp_path / "redis", ["--appendonly", "yes", "--appendfsync", "always"]).start()
    now = setting(store_url=f"redis://127.0.0.1:{server.port}/0")
    try:
        with run(now, topic):
            broker.send(topic, world.since[:third])
            wait_until(lambda: now.count("records", result="landed"), "the store is written to")
            server.kill()
            broker.send(topic, world.since[third : 2 * third])
            wait_until(lambda: now.count("failures", of="store"), "the store's loss is noticed")
            server.start()
            wait_until(lambda: now.count("messages") >= 2 * third, "the second third is read")
            with broker.away():
                wait_until(lambda: now.count("failures", of="broker"), "the broker's is, too")
            broker.send(topic, world.since[2 * third :])
            wait_until(lambda: up_to_date(now, world.today), "every member is up to date")
        assert_as_daily(now.store, world.today)
    finally:
        server.stop()


def test_a_topic_that_began_anew_is_read_from_its_beginning(world, setting, broker, run, tmp_path):
    topic = broker.topic()
    most = 3 * len(world.since) // 4
    now = setting()
    before = now.updates.open_partition(0, tmp_path / "state" / f"{topic}-0")
    feed(now, before, messages(world.since[:most]))
    before.state.close()
    broker.send(topic, world.since[most:])
    with run(now, topic):
        wait_until(lambda: up_to_date(now, world.today), "every member is up to date")
    assert_as_daily(now.store, world.today)


def test_killed_at_any_point_it_loses_nothing(world, store_url, broker, tmp_path):
    topic = broker.topic(partitions=2)
    third = len(world.since) // 3
    store = open_store(store_url, dataset=DATASET)
    # A new group each time, because this broker is slow to forget a killed member; where to read
    # on is the state's to say.
    with process(world, store_url, broker, topic, tmp_path, "first") as first:
        broker.send(topic, world.since[:third])
        wait_until(lambda: newest(store) > NOON, "the first records are written")
        broker.send(topic, world.since[third : 2 * third])
        first.kill()
    with process(world, store_url, broker, topic, tmp_path, "second") as second:
        broker.send(topic, world.since[2 * third :])
        wait_until(
            lambda: newest(store) == max(world.today.times.values()), "the last records are written"
        )
        second.terminate()
        second.join(30)
        assert second.exitcode == 0
    assert_as_daily(store, world.today)


@contextmanager
def process(world, store_url, broker, topic, home, group):
    kafka = home / "kafka.properties"
    kafka.write_text("".join(f"{name}={setting}\n" for name, setting in FAST.items()))
    options = {
        "brokers": broker.address,
        "kafka": kafka,
        "topic": topic,
        "group": f"{group}-{topic}",
        "package": world.package,
        "store": store_url,
        "state": home / "state",
        "snapshot": world.yesterday.path,
    }
    arguments = [text for name, option in options.items() for text in (f"--{name}", str(option))]
    running = PROCESSES.Process(target=_serve, args=(arguments, home / "log.txt"))
    running.start()
    try:
        yield running
    except AssertionError as error:
        error.add_note((home / "log.txt").read_text()[-3000:])
        raise
    finally:
        running.kill()
        running.join()


def _serve(arguments, log):
    from serving.nearline.__main__ import main

    with log.open("a") as errors:
        os.dup2(errors.fileno(), sys.stderr.fileno())
    sys.exit(main(arguments))


def newest(store):
    return max(int(found.data_times.max(initial=0)) for found in store.scan())
