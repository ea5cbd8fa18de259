"""MIND: generated news traffic of 20K and 200K members, read into a feed in bounded memory."""

from functools import partial
from pathlib import Path

from benchmarks.harness import Benchmark, Row, measure

SIZES = {"20K": (20_000, 20_000), "200K": (200_000, 60_000)}
"""Members and news items."""


def read(work: Path, *, users: int, items: int) -> list[Row]:
    """Read the folders of a news site that is generated first."""
    folder = str(work / "mind")
    made = measure("benchmarks.bench_mind:generate", target=folder, users=users, items=items)
    ours = measure("benchmarks.bench_mind:ingest", folder=folder, target=str(work / "feed"))
    speeds = [made.value / 1e3 / call.cpu_seconds for call in (ours, made)]
    return [
        Row("pages read per CPU-second", "K/s", speeds[0], target="ours >= 10"),
        Row("peak memory", "GB", ours.peak_bytes / 1e9, target="ours <= 3"),
        Row("pages generated per CPU-second", "K/s", speeds[1], target="ours >= 10"),
        Row("peak memory of generating", "GB", made.peak_bytes / 1e9, target="ours <= 2"),
    ]


def generate(target: str, users: int, items: int) -> int:
    """Write the traffic and count its pages."""
    from components.newsroom.config import NewsroomConfig
    from components.newsroom.generate import FOLDERS, generate_news

    config = NewsroomConfig(users=users, items=items, entities=items // 3)
    counts = generate_news(config, Path(target), seed=1)
    return sum(counts[folder] for folder in FOLDERS.values())


def ingest(folder: str, target: str) -> int:
    """Read the traffic and count the actions."""
    from components.activity.config import NEWS, MindConfig
    from components.activity.mind import ingest_mind

    return ingest_mind(MindConfig(path=folder), NEWS, Path(target), quarantine_limit=0.0).actions


BENCHMARKS = [
    Benchmark(f"mind {name} members", partial(read, users=users, items=items))
    for name, (users, items) in SIZES.items()
]
