"""What is killed, full or away never costs readers a version, nor mixes two."""

import multiprocessing
import random
import resource
import threading
import time

import numpy as np
import pytest
import redis
from redis.crc import key_slot

from components.store.errors import StoreError
from components.store.push import Source, push
from components.store.records import bucket_of
from components.store.store import open_store

from .conftest import DAY, make_records, write_source
from .servers import Server

NAMES = [f"m{row:02}" for row in range(60)]

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["components.store.push", "components.store.redis"])


class Watcher(threading.Thread):
    """Reads every member again and again, and notes what must not be."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.store = open_store(url, dataset="jobs")
        self.stop, self.looks, self.wrong = threading.Event(), 0, []

    def run(self):
        while not self.stop.is_set():
            try:
                many = self.store.get_many(NAMES)
                marks = set(many.vectors[:, 0].tolist())
                if not many.found.all() or len(marks) != 1:
                    self.wrong.append((many.version, marks, many.found.sum()))
                one = self.store.get("m07")
                if one is None or one.version < many.version:
                    self.wrong.append((many.version, one))
                self.looks += 1
                time.sleep(0.001)
            except Exception as error:
                self.wrong.append(error)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join()
        self.store.close()


@pytest.mark.parametrize(
    ("url", "kills"), [("embedded", 100), ("redis", 100), ("cluster", 20)], indirect=["url"]
)
def test_killing_the_publisher_never_disturbs_readers(url, kills, source):
    runs = [source(f"run {run}", NAMES, mark=float(run)) for run in range(3)]
    push(url, "jobs", runs[0], data_time=DAY)
    _push_aside(url, runs[1]).join()  # the first one also starts the server that forks
    start = time.monotonic()
    _push_aside(url, runs[1]).join()
    whole, draws, ended = time.monotonic() - start, random.Random(5), 0
    with Watcher(url) as watcher:
        for _ in range(kills):
            publisher = _push_aside(url, draws.choice(runs))
            publisher.join(draws.uniform(0.1, 1.1) * whole)
            publisher.kill()
            publisher.join()
            ended += publisher.exitcode == 0
    assert watcher.wrong == []
    assert watcher.looks > 10
    assert ended < kills
    version = push(url, "jobs", runs[2], data_time=DAY, shard_size=20)
    with open_store(url, dataset="jobs") as store:
        assert store.current() == version
        assert set(store.vectors(NAMES)[0][:, 0]) == {2.0}
        assert len(store.versions()) == 2


def _push_aside(url, run: Source):
    settings = {"data_time": DAY, "shard_size": 20}
    process = _processes.Process(target=push, args=(url, "jobs", run), kwargs=settings)
    process.start()
    return process


@pytest.mark.parametrize("url", ["embedded"], indirect=True)
def test_a_full_disk_leaves_the_version_before(url, pushed, source, reader, tmp_path):
    pushed("monday", NAMES, mark=1.0)
    names = [f"n{row:05}" for row in range(20_000)]
    run = source("tuesday", names, mark=2.0)
    told = tmp_path / "told.txt"
    process = _processes.Process(target=_push_into_little_space, args=(url, run, told))
    process.start()
    process.join()
    assert "nothing was changed; is the disk full?" in told.read_text()
    assert set(reader().vectors(NAMES)[0][:, 0]) == {1.0}
    push(url, "jobs", run, data_time=DAY)
    assert set(reader().vectors(names)[0][:, 0]) == {2.0}


def _push_into_little_space(url, run, told):
    little = 1_000_000, resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, little)
    try:
        push(url, "jobs", run, data_time=DAY)
    except StoreError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        told.write_text(str(error))


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_full_memory_leaves_the_version_before(url, pushed, source, reader, servers):
    pushed("monday", NAMES, mark=1.0)
    names = [f"n{row:05}" for row in range(20_000)]
    run = source("tuesday", names, mark=2.0)
    server = redis.Redis("127.0.0.1", servers("redis")[0][0].port)
    server.config_set("maxmemory", server.info("memory")["used_memory"] + 1_000_000)
    try:
        with pytest.raises(StoreError, match="memory"):
            push(url, "jobs", run, data_time=DAY)
        assert set(reader().vectors(NAMES)[0][:, 0]) == {1.0}
    finally:
        server.config_set("maxmemory", 0)
    push(url, "jobs", run, data_time=DAY)
    assert set(reader().vectors(names)[0][:, 0]) == {2.0}


def test_redis_killed_during_a_push_comes_back_with_the_version_before(tmp_path):
    server = Server(tmp_path / "redis", ["--appendonly", "yes", "--appendfsync", "always"]).start()
    try:
        url = f"redis://127.0.0.1:{server.port}/0"
        first = write_source(tmp_path / "first", make_records(NAMES, mark=1.0))
        second = write_source(tmp_path / "second", make_records(NAMES, mark=2.0))
        push(url, "jobs", first, data_time=DAY)
        reader, draws = open_store(url, dataset="jobs"), random.Random(5)
        for _ in range(3):
            publisher = _push_aside(url, second)
            publisher.join(draws.uniform(0.01, 0.1))
            server.kill()
            publisher.join()
            with pytest.raises(StoreError, match="cannot be reached"):
                reader.get("m01")
            server.start()
            assert len(set(reader.vectors(NAMES)[0][:, 0])) == 1
        push(url, "jobs", second, data_time=DAY, shard_size=7)
        assert set(reader.vectors(NAMES)[0][:, 0]) == {2.0}
    finally:
        server.stop()


def test_writes_while_pushes_come_and_go_are_not_lost(url, source):
    """A consumer writes newer and newer records all the time; the last of each must be there."""
    runs = [source(f"run {run}", NAMES, mark=-1.0) for run in range(2)]
    push(url, "jobs", runs[0], data_time=DAY)
    written: dict[str, float] = {}
    stop, failures = threading.Event(), []

    def consume():
        with open_store(url, dataset="jobs", role="writer") as store:
            number = 0
            while not stop.is_set():
                number += 1
                name = NAMES[number % len(NAMES)]
                record = make_records([name], mark=float(number), data_time=DAY + number)
                try:
                    assert not store.write(record, model="v1").refused
                    written[name] = float(number)
                except Exception as error:
                    failures.append(error)

    consumer = threading.Thread(target=consume)
    consumer.start()
    for push_number in range(4):
        push(url, "jobs", runs[push_number % 2], data_time=DAY, shard_size=7)
    stop.set()
    consumer.join()
    assert failures == []
    with open_store(url, dataset="jobs") as store:
        found = store.get_many(list(written))
        assert found.version == 5
        assert found.vectors[:, 0].tolist() == np.float16(list(written.values())).tolist()


@pytest.mark.parametrize("url", ["embedded", "redis"], indirect=True)
def test_threads_share_a_store(url, pushed, reader):
    pushed("monday", NAMES)
    store, wrong = reader(), []
    expected = {name: store.get(name).vector.tolist() for name in NAMES}

    def look(seed):
        for name in random.Random(seed).choices([*NAMES, "nobody"], k=300):
            record = store.get(name)
            if (None if record is None else record.vector.tolist()) != expected.get(name):
                wrong.append(name)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("url", ["cluster"], indirect=True)
def test_readers_and_writers_follow_buckets_to_another_node(url, pushed, servers, reader):
    """As when a cluster grows: slots move, with their keys, while clients know the old places."""
    pushed("monday", NAMES)
    store, consumer = reader(), open_store(url, dataset="jobs", role="writer")
    consumer.write(make_records(["m01"], mark=1.0), model="v1")
    nodes = [redis.Redis("127.0.0.1", server.port) for server in servers("cluster")[0]]
    for key in [b"intent:{jobs}:current", b"intent:{jobs/%d}:" % bucket_of(b"m01")]:
        _move(key_slot(key), nodes)
    assert store.vectors(NAMES)[1].all()
    assert store.get("m01").vector[0] == 1.0
    consumer.write(make_records(["m01"], mark=2.0, data_time=DAY + 2), model="v1")
    assert store.get("m01").vector[0] == 2.0
    assert len([name for part in store.scan() for name in part.member_ids]) == len(NAMES)
    consumer.close()
    pushed("tuesday", NAMES, mark=3.0, data_time=DAY + 3)
    assert set(store.vectors(NAMES)[0][:, 0]) == {3.0}


def _move(slot, nodes):
    names = [node.execute_command("CLUSTER MYID").decode() for node in nodes]
    holds = [bool(node.execute_command("CLUSTER GETKEYSINSLOT", slot, 1)) for node in nodes]
    start = holds.index(True)
    end = (start + 1) % len(nodes)
    nodes[end].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[start])
    nodes[start].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[end])
    keys = nodes[start].execute_command("CLUSTER GETKEYSINSLOT", slot, 1000)
    port = nodes[end].connection_pool.connection_kwargs["port"]
    nodes[start].execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *keys)
    for node in (nodes[end], nodes[start]):
        node.execute_command("CLUSTER SETSLOT", slot, "NODE", names[end])
