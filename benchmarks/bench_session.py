"""Sessions: 20M actions cut, sorted and written, by ours and by pandas."""

from pathlib import Path

from benchmarks.harness import Benchmark, Row, measure

EVENTS = 20_000_000
FILES = 10
IDLE_MINUTES = 30


def compare(work: Path) -> list[Row]:
    """Cut the same feed with both; they have to find the same number of sessions."""
    feed = str(work / "actions")
    measure("benchmarks.bench_session:generate", target=feed, events=EVENTS)
    ours = measure("benchmarks.bench_session:ours", feed=feed, target=str(work / "ours"))
    peer = measure("benchmarks.bench_session:pandas", feed=feed, target=str(work / "peer.parquet"))
    if ours.value != peer.value:
        raise RuntimeError(f"ours found {ours.value} sessions, pandas {peer.value}")
    millions = EVENTS / 1e6
    speeds = (millions / ours.cpu_seconds, millions / peer.cpu_seconds, "pandas")
    memory = (ours.peak_bytes / 1e9, peer.peak_bytes / 1e9, "pandas")
    return [
        Row("events per CPU-second", "M/s", *speeds, target="ours >= 0.6"),
        Row("events per CPU-second beside pandas", "M/s", *speeds, target="ratio >= 2"),
        Row("peak memory", "GB", *memory, target="ours <= 3"),
    ]


def ours(feed: str, target: str) -> int:
    """Count the sessions that our step writes."""
    from components.activity.config import ActivityConfig
    from components.activity.sessions import write_sessions

    config = ActivityConfig(idle_minutes=IDLE_MINUTES)
    return write_sessions(Path(feed), Path(target), config)["sessions"]


def pandas(feed: str, target: str) -> int:
    """Count the sessions of the same job in pandas: read, sort, number, write."""
    import pandas as pd

    actions = pd.read_parquet(feed)
    actions = actions.sort_values(["member_id", "ts", "sequence"], ignore_index=True)
    first = actions["member_id"] != actions["member_id"].shift()
    opens = first | (actions["ts"].diff() > IDLE_MINUTES * 60_000_000)
    total = opens.cumsum()
    actions["session"] = total - (total - 1).where(first).ffill().astype("int64")
    actions.to_parquet(target, index=False)
    return int(opens.sum())


def generate(target: str, events: int, seed: int = 1) -> None:
    """Write a feed in time order: power-law members, short visits, texts that repeat."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(seed)
    actions = np.array(["JOB_SEARCH", "VIEW", "APPLY", "SAVE"])
    channels = np.array(["search", "recommendation", "alert", "notification", "navigation"])
    words = np.array([f"word{number:04d}" for number in range(5000)])
    titles = np.array(
        [" ".join(random.choice(words, random.integers(2, 6))) for _ in range(50_000)]
    )
    companies = np.array([" ".join(random.choice(words, 2)) for _ in range(20_000)])

    length = random.geometric(0.6, events)
    length = length[: np.searchsorted(length.cumsum(), events) + 1]
    weight = 1 + np.minimum(random.pareto(1.2, events // 30), 1000)
    owner = np.searchsorted(weight.cumsum() / weight.sum(), random.random(len(length)))
    start = random.integers(0, 365 * 86_400_000_000, len(length))
    member = np.repeat(owner, length)[:events]
    ts = (
        (np.repeat(start, length)[:events] + random.integers(0, 900_000_000, events)) // 1000 * 1000
    )
    order = np.argsort(ts, kind="stable")
    member, ts = member[order], ts[order]

    Path(target).mkdir(parents=True)
    for part, rows in enumerate(np.array_split(np.arange(events), FILES)):
        kind = random.choice(4, len(rows), p=[0.25, 0.6, 0.1, 0.05])
        searched = kind == 0
        text = titles[(random.random(len(rows)) ** 2 * len(titles)).astype(int)]
        company = companies[(random.random(len(rows)) ** 2 * len(companies)).astype(int)]
        table = {
            "member_id": pa.array(np.char.add("m", member[rows].astype("U9"))),
            "ts": ts[rows],
            "sequence": rows,
            "channel": channels[random.integers(0, len(channels), len(rows))],
            "action": actions[kind],
            "query": pa.array(text, mask=~searched),
            "company": pa.array(company, mask=searched),
            "title": pa.array(text, mask=searched),
            "item_id": pa.array(
                np.char.add("j", random.integers(0, 10**6, len(rows)).astype("U7"))
            ),
        }
        file = Path(target) / f"part-{part:05d}.parquet"
        pq.write_table(pa.table(table), file, compression="zstd")


BENCHMARKS = [Benchmark("session 20M actions", compare)]
