"""The store, 1M members of 512 dimensions in half precision with 20 entities, against Feast.

Feast gets the first 50,000 of the same members, which favours it: a smaller store is faster. It
reads vectors alone into one float array, as we do; our records carry the entities along. A push is
timed from files to switch: reading the source, laying out, writing, reading back what was written.
The second push runs while a reader looks members up; the first score of every record names its
version, so that a mixed answer shows.
"""

import json
import subprocess
import threading
import time
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Benchmark, Row, measure, peer_python

MEMBERS, DIMENSION, ENTITIES = 1_000_000, 512, 20
PEER_ROWS, PEER_LOOKUPS, PEER_SINGLES = 50_000, 50_000, 2_000
BATCH, LOOKUPS, SINGLES, CALLERS = 1000, 300_000, 30_000, 16
ROWS_AT_ONCE = 50_000
MODULE = "benchmarks.bench_store"


def embedded(work: Path) -> list[Row]:
    url = f"lmdb:{work / 'store'}"
    ours = _ours(work, url, callers=1)
    rows = _compared(work, ours, {"type": "sqlite", "path": str(work / "feast.db")}, "sqlite")
    return [
        Row("batched, one core", "1/s", ours["batched"]["per_cpu_second"], target="ours >= 150000"),
        Row("single p50", "us", ours["single"]["p50"], target="ours <= 10"),
        Row("single p99", "us", ours["single"]["p99"], target="ours <= 50"),
        *rows,
    ]


def redis(work: Path) -> list[Row]:
    with _redis_server(work) as port:
        ours = _ours(work, f"redis://127.0.0.1:{port}/0", callers=CALLERS)
    (work / "again").mkdir()
    with _redis_server(work / "again") as port:
        online = {"type": "redis", "connection_string": f"127.0.0.1:{port}"}
        rows = _compared(work, ours, online, "redis")
    many = ours["many"]
    return [
        Row("batched", "1/s", ours["batched"]["per_second"], target="ours >= 120000"),
        Row(f"single p99, {CALLERS} callers", "us", many["p99"], target="ours <= 1000"),
        *rows,
    ]


def generate(data: str) -> None:
    """Write a run's member vectors, and two files of entities marked 1 and 2."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import feather

    folder, random = Path(data), np.random.default_rng(1)
    (folder / "vectors").mkdir()
    path, shape = folder / "vectors" / "vectors.npy", (MEMBERS, DIMENSION)
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for start in range(0, MEMBERS, ROWS_AT_ONCE):
        vectors[start : start + ROWS_AT_ONCE] = random.standard_normal(
            (min(ROWS_AT_ONCE, MEMBERS - start), DIMENSION), np.float32
        )
    vectors.flush()
    names = pa.array([_name(row) for row in range(MEMBERS)])
    feather.write_feather(pa.table({"member_id": names}), folder / "vectors" / "members.arrow")
    about = {"encoder": "v1", "count": MEMBERS, "dimension": DIMENSION}
    (folder / "vectors" / "vectors.json").write_text(json.dumps(about))
    offsets = pa.array(np.arange(MEMBERS + 1, dtype=np.int32) * ENTITIES)
    labels = random.integers(0, 100_000, MEMBERS * ENTITIES).astype(np.int32)
    scores = random.random(MEMBERS * ENTITIES, np.float32)
    for mark in (1, 2):
        scores[::ENTITIES] = mark
        lists = [pa.ListArray.from_arrays(offsets, pa.array(part)) for part in (labels, scores)]
        table = pa.table([names, *lists], names=["member_id", "labels", "scores"])
        pq.write_table(table, folder / f"entities{mark}")


def push(data: str, url: str, mark: int) -> float:
    """Push once; return the seconds it took."""
    from components.store.push import Source
    from components.store.push import push as push_to

    source = Source(Path(data) / "vectors", Path(data) / f"entities{mark}")
    start = time.perf_counter()
    push_to(url, "bench", source, data_time=mark)
    return time.perf_counter() - start


def push_watched(data: str, url: str, mark: int) -> dict:
    """Push while another process reads; return seconds, and what that saw."""
    context = get_context("spawn")
    stop, seen = context.Event(), context.Queue()
    watcher = context.Process(target=_watch, args=(url, stop, seen))
    watcher.start()
    seen.get()
    seconds = push(data, url, mark)
    stop.set()
    looks, mixed = seen.get()
    watcher.join()
    return {"seconds": seconds, "looks": looks, "mixed": mixed}


def batched(url: str) -> dict:
    """Read vectors in batches."""
    from components.store.store import open_store

    names = _wanted(LOOKUPS)
    batches = [names[start : start + BATCH] for start in range(0, LOOKUPS, BATCH)]
    with open_store(url, dataset="bench") as store:
        for batch in batches:
            store.vectors(batch)
        cpu, wall = time.process_time(), time.perf_counter()
        for batch in batches:
            vectors, found = store.vectors(batch)
            assert found.all()
            assert vectors.shape == (BATCH, DIMENSION)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"per_cpu_second": LOOKUPS / cpu, "per_second": LOOKUPS / wall}


def singles(url: str, callers: int) -> dict:
    """Look members up one at a time, in as many threads as there are callers."""
    from components.store.store import open_store

    seconds: list[list[float]] = [[] for _ in range(callers)]

    def call(caller: int) -> None:
        for name in _wanted(SINGLES // callers, seed=caller):
            start = time.perf_counter()
            store.get(name)
            seconds[caller].append(time.perf_counter() - start)

    with open_store(url, dataset="bench") as store:
        threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    counted = np.concatenate([mine[len(mine) // 10 :] for mine in seconds]) * 1e6
    p50, p99 = np.percentile(counted, [50, 99])
    return {"p50": p50, "p99": p99}


def _ours(work: Path, url: str, *, callers: int) -> dict:
    data = str(work)
    measure(f"{MODULE}:generate", data=data)
    figures = {"push": measure(f"{MODULE}:push", data=data, url=url, mark=1).value}
    figures["watched"] = measure(f"{MODULE}:push_watched", data=data, url=url, mark=2).value
    figures["batched"] = measure(f"{MODULE}:batched", threads=1, url=url).value
    figures["single"] = measure(f"{MODULE}:singles", threads=1, url=url, callers=1).value
    figures["many"] = measure(f"{MODULE}:singles", threads=1, url=url, callers=callers).value
    return figures


def _compared(work: Path, ours: dict, online: dict[str, Any], kind: str) -> list[Row]:
    sizes = {"rows": PEER_ROWS, "lookups": PEER_LOOKUPS, "singles": PEER_SINGLES, "batch": BATCH}
    python = peer_python("feast")
    peer = measure(
        "benchmarks.peers.feast:run", python=python, data=str(work), online=online, **sizes
    ).value
    name, written, watched = f"Feast {kind}", MEMBERS / ours["push"], ours["watched"]
    faster = "ratio <= 0.1" if kind == "sqlite" else "ratio <= 1"
    return [
        Row("batched", "1/s", ours["batched"]["per_second"], peer["batched"], name, "ratio >= 8"),
        Row("single p50", "us", ours["single"]["p50"], peer["p50"] * 1e6, name, faster),
        Row("written", "1/s", written, peer["written"], name, "ratio >= 10"),
        Row("push with readers", "s", watched["seconds"], target="ours <= 120"),
        Row("mixed or missing answers", "", watched["mixed"], target="ours <= 0"),
        Row("answers during the push", "", watched["looks"], target="ours >= 1000"),
    ]


def _watch(url: str, stop: Any, seen: Any) -> None:
    from components.store.store import open_store

    looks = mixed = 0
    names = _wanted(200_000, seed=9)
    with open_store(url, dataset="bench") as store:
        seen.put(None)
        while not stop.is_set():
            start = looks * 256 % len(names)
            many = store.get_many(names[start : start + 256])
            mixed += not many.found.all() or len(np.unique(many.scores[:, 0, 0])) != 1
            looks += 1
            time.sleep(0.002)
    seen.put((looks, mixed))


@contextmanager
def _redis_server(directory: Path):
    import redis as client

    from serving.local.binaries import binary

    port = 7391
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(directory)]
    with (directory / "redis.txt").open("w") as log:
        server = subprocess.Popen(
            [str(binary("redis-server")), *options], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                client.Redis(port=port).ping()
                break
            except client.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()


def _wanted(count: int, seed: int = 5) -> list[str]:
    return [_name(row) for row in np.random.default_rng(seed).integers(0, MEMBERS, count)]


def _name(row: int) -> str:
    return f"member-{row:09d}"


BENCHMARKS = [Benchmark("store embedded", embedded), Benchmark("store redis", redis)]
