from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.encoder.vectors import MemberVectors, save_member_vectors
from components.store.push import Source, push
from components.store.records import Records
from components.store.store import open_store

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


@pytest.fixture
def url(tmp_path):
    return f"lmdb:{tmp_path / 'store'}"


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
