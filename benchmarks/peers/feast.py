"""The peer of the store: Feast's online stores, filled and read by its own interface."""

import time
from datetime import timedelta
from pathlib import Path

import numpy as np


def run(data: str, online: dict, rows: int, batch: int, lookups: int, singles: int) -> dict:
    """Write the first rows, then read them in batches into one array, and one at a time."""
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
    from feast.types import Array, Float32, Int32, String
    from feast.value_type import ValueType

    folder = Path(data)
    vectors = np.load(folder / "vectors" / "vectors.npy", mmap_mode="r")[:rows]
    dimension = vectors.shape[1]
    random = np.random.default_rng(2)
    names = [f"member-{row:09d}" for row in range(rows)]
    frame = pd.DataFrame(
        {
            "member_id": names,
            "vector": list(np.asarray(vectors)),
            "labels": list(random.integers(0, 100_000, (rows, 20)).astype(np.int32)),
            "scores": list(random.random((rows, 20), np.float32)),
            "ts": pd.Timestamp.now(tz="UTC"),
        }
    )
    frame[:1].to_parquet(folder / "feast.parquet")
    source = FileSource(path=str(folder / "feast.parquet"), timestamp_field="ts")
    member = Entity(name="member", join_keys=["member_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="records",
        entities=[member],
        ttl=timedelta(0),
        schema=[
            Field(name="member_id", dtype=String),
            Field(name="vector", dtype=Array(Float32)),
            Field(name="labels", dtype=Array(Int32)),
            Field(name="scores", dtype=Array(Float32)),
        ],
        source=source,
        online=True,
    )
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "feast_registry.db"),
        online_store=online,
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    store.apply([member, view])
    start = time.perf_counter()
    store.write_to_online_store("records", frame)
    written = rows / (time.perf_counter() - start)

    def look_up(wanted: list[str]) -> np.ndarray:
        rows = [{"member_id": name} for name in wanted]
        answer = store.get_online_features(["records:vector"], rows).proto
        place = list(answer.metadata.feature_names.val).index("vector")
        vectors = np.empty((len(wanted), dimension), np.float32)
        for row, value in enumerate(answer.results[place].values):
            vectors[row] = value.float_list_val.val
        return vectors

    wanted = [names[row] for row in random.integers(0, rows, lookups)]
    assert np.allclose(look_up(wanted[:3]), vectors[[int(name[7:]) for name in wanted[:3]]])
    start = time.perf_counter()
    for first in range(0, lookups, batch):
        look_up(wanted[first : first + batch])
    batched = lookups / (time.perf_counter() - start)
    seconds = []
    for name in wanted[:singles]:
        start = time.perf_counter()
        look_up([name])
        seconds.append(time.perf_counter() - start)
    p50, p99 = np.percentile(seconds[len(seconds) // 10 :], [50, 99])
    return {"written": written, "batched": batched, "p50": p50, "p99": p99}
