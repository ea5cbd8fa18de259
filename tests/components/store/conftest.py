from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from components.encoder.vectors import MemberVectors, save_member_vectors
from components.store import shards as shards_module
from components.store.push import Source, push
from components.store.records import Records
from components.store.store import open_store

from .servers import WRITER, Server, cluster, encrypted

DIMENSION, ENTITIES, DAY = 12, 3, 1_600_000_000_000_000
"""DAY is the data time of pushes, in microseconds."""


def make_records(members, *, mark=0.0, data_time=DAY + 1, surfaces=1, seed=3):
    """Records whose vectors begin with `mark`, so that a test sees where they came from."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(len(members), DIMENSION)).astype(np.float32)
    vectors[:, 0] = mark
    shape = (len(members), surfaces, ENTITIES)
    labels = random.integers(0, 50, shape).astype(np.int32)
    scores = random.random(shape).astype(np.float32)
    return Records(list(members), vectors, labels, scores, np.full(len(members), data_time))


def write_source(directory: Path, records: Records, *, encoder="v1") -> Source:
    """Files of a run from which `records` would be pushed."""
    vectors = np.asarray(records.vectors, np.float32)
    members = pa.array(records.member_ids)
    content = MemberVectors(pa.chunked_array([members]), vectors, {}, encoder)
    save_member_vectors(directory / "vectors", content)
    columns = {"member_id": members}
    for surface, prefix in enumerate(["", "explore_"][: records.labels.shape[1]]):
        labels, scores = records.labels[:, surface], records.scores[:, surface]
        columns[f"{prefix}labels"] = pa.array(list(labels), pa.list_(pa.int32()))
        columns[f"{prefix}scores"] = pa.array(list(scores), pa.list_(pa.float32()))
    pq.write_table(pa.table(columns), directory / "entities.parquet")
    return Source(directory / "vectors", directory / "entities.parquet")


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """Start a kind of store once, when the first test asks for it."""
    started: dict[str, tuple] = {}

    def get(kind):
        directory = tmp_path_factory.mktemp(kind)
        if kind not in started:
            if kind == "redis":
                started[kind] = ([Server(directory).start()], None)
            elif kind == "cluster":
                started[kind] = (cluster(directory), None)
            else:
                server, authority = encrypted(directory / "tls")
                started[kind] = ([server], authority)
        return started[kind]

    yield get
    for some, _ in started.values():
        for server in some:
            server.stop()


@pytest.fixture(params=["embedded", "redis", "cluster", "tls"])
def url(request, tmp_path, servers, monkeypatch):
    """An empty store of each kind."""
    if request.param == "embedded":
        return f"lmdb:{tmp_path / 'store'}"
    some, authority = servers(request.param)
    if request.param == "tls":
        monkeypatch.setenv("INTENT_STORE_CA", str(authority))
        settings = {"ssl": True, "ssl_ca_certs": str(authority)}
        redis.Redis(
            "127.0.0.1", some[0].port, username="admin", password="admin", **settings
        ).flushall()
        return f"rediss://{WRITER[0]}:{WRITER[1]}@127.0.0.1:{some[0].port}/0"
    for server in some:
        redis.Redis("127.0.0.1", server.port).flushall()
    kind = "redis+cluster" if request.param == "cluster" else "redis"
    return f"{kind}://127.0.0.1:{some[0].port}"


@pytest.fixture
def source(tmp_path):
    """Make a run: `source("monday", members, mark=1.0)`."""

    def make(name, members, *, encoder="v1", **settings):
        records = make_records(members, **settings)
        return write_source(tmp_path / name, records, encoder=encoder)

    return make


@pytest.fixture
def pushed(url, source):
    """Push a run of members m0, m1, ...: `pushed("monday", 20, mark=1.0)`."""

    def make(name, members=20, *, encoder="v1", data_time=DAY, keep=2, **settings):
        names = [f"m{row}" for row in range(members)] if isinstance(members, int) else members
        run = source(name, names, encoder=encoder, **settings)
        return push(url, "jobs", run, data_time=data_time, keep=keep, shard_size=7)

    return make


@pytest.fixture
def reader(url):
    opened = []

    def open_reader():
        opened.append(open_store(url, dataset="jobs"))
        return opened[-1]

    yield open_reader
    for store in opened:
        store.close()


@pytest.fixture
def writer(url):
    with open_store(url, dataset="jobs", role="writer") as store:
        yield store


@pytest.fixture
def interrupted(url, source, monkeypatch):
    """Begin a push that ends, as by Ctrl-C, after some shards of seven members."""

    def begin(name, members, *, shards, encoder="v1", data_time=DAY, **settings):
        put, run = shards_module.put_shard, source(name, members, encoder=encoder, **settings)
        left = iter(range(shards))

        def put_or_stop(*arguments):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return put(*arguments)

        monkeypatch.setattr("components.store.push.put_shard", put_or_stop)
        with pytest.raises(KeyboardInterrupt):
            push(url, "jobs", run, data_time=data_time, shard_size=7)
        monkeypatch.setattr("components.store.push.put_shard", put)
        return run

    return begin
