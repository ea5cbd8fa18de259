"""Generate a jobs marketplace: a feed to learn from and, apart, the truth behind it."""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from components.files import whole_directory
from components.marketplace.catalogue import Catalogue, build_catalogue
from components.marketplace.config import MarketplaceConfig
from components.marketplace.members import Members, draw_members
from components.marketplace.simulate import simulate
from components.marketplace.tables import Texts
from components.marketplace.truth import write_truth
from components.marketplace.write import write_chunk, write_postings
from components.progress import progress

FEED_TABLES = ("actions", "impressions", "responses", "profiles", "postings")


def generate(config: MarketplaceConfig, feed: Path, truth: Path, *, seed: int) -> dict:
    """Write a marketplace's feed and its truth; each appears whole or not at all.

    Chunks of members are independent and seeded by their number, so the same seed gives the same
    bytes with any number of workers, and memory does not grow with the number of members.

    Args:
        config: sizes and rates.
        feed: directory for `actions/` (as every source writes them), `impressions/` (a row per
            page shown: item_ids from the top, outcomes), `responses/` (recruiters' answers),
            `profiles/`, `postings/` and `ingest.json`.
        truth: directory, elsewhere, for what only evaluation may read; see `truth.Truth`.
        seed: decides everything random.

    Returns:
        What `ingest.json` holds: counts of rows, first and last time in microseconds UTC.
    """
    catalogue = build_catalogue(config, seed=seed)
    with whole_directory(feed) as new_feed, whole_directory(truth) as new_truth:
        for name in FEED_TABLES:
            (new_feed / name).mkdir()
        write_postings(Texts(catalogue), new_feed / "postings" / "part-00000.parquet")
        write_truth(catalogue, new_truth)
        worker = _Worker(catalogue, config, feed=new_feed, truth=new_truth, seed=seed)
        counts: dict = {"actions": 0, "quarantined": 0, "reasons": {}, "duplicates": 0}
        with progress("generating members", total=config.members) as bar:
            for written in _write_chunks(worker, config):
                _add(counts, written)
                bar.advance(min(config.chunk, config.members), actions=counts["actions"])
        (new_feed / "ingest.json").write_text(json.dumps(counts, indent=2) + "\n")
    return counts


def draw_chunk(
    catalogue: Catalogue, config: MarketplaceConfig, number: int, *, seed: int
) -> tuple[Members, np.random.Generator]:
    """Draw the members of one chunk, and hand on the source of luck of all they do."""
    rng = np.random.default_rng([seed, 1, number])
    first = number * config.chunk
    count = min(config.chunk, config.members - first)
    return draw_members(catalogue, config, first=first, count=count, rng=rng), rng


class _Worker:
    """Writes chunks; travels to other processes."""

    def __init__(
        self, catalogue: Catalogue, config: MarketplaceConfig, *, feed: Path, truth: Path, seed: int
    ):
        self._catalogue, self._config, self._seed = catalogue, config, seed
        self._feed, self._truth = feed, truth
        self._texts: Texts | None = None

    def write(self, number: int) -> dict[str, int]:
        self._texts = self._texts or Texts(self._catalogue)
        config = self._config
        members, rng = draw_chunk(self._catalogue, config, number, seed=self._seed)
        trails = simulate(self._catalogue, config, members, rng=rng)
        part = f"part-{number:05d}.parquet"
        places = {name: self._feed / name / part for name in FEED_TABLES}
        places["members"] = self._truth / "members" / part
        return write_chunk(self._texts, config, trails, places=places, rng=rng)


def _write_chunks(worker: _Worker, config: MarketplaceConfig) -> Iterator[dict[str, int]]:
    numbers = range(-(-config.members // config.chunk))
    workers = min(config.workers, len(numbers))
    if workers == 1:
        yield from map(worker.write, numbers)
        return
    # Spawned, not forked: Arrow's threads do not survive a fork.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (worker,))
    try:
        yield from pool.map(_write, numbers)
    finally:
        pool.shutdown(cancel_futures=True)


_worker: _Worker


def _start(worker: _Worker) -> None:
    global _worker
    _worker = worker


def _write(number: int) -> dict[str, int]:
    return _worker.write(number)


def _add(counts: dict, written: dict[str, int]) -> None:
    for name, value in written.items():
        if name == "first_ts":
            counts[name] = min(counts.get(name, value), value)
        elif name == "last_ts":
            counts[name] = max(counts.get(name, value), value)
        else:
            counts[name] = counts.get(name, 0) + value
