"""Candidates: the best 500 postings of weighted clauses, by inverted lists and by a product.

The peer multiplies the matrix of which postings match which clause with the clauses' weights, in
scipy: every posting gets a score, whether it matches or not.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import Benchmark, Row, measure

if TYPE_CHECKING:
    import numpy as np

    from components.candidates.postings import Lists

POSTINGS = {"40K": 40_000, "1M": 1_000_000}
ATTRIBUTES, OWN, CLAUSES, BEST, REQUESTS = 20_000, 8, 60, 500, 100


def compare_at(size: str, work: Path) -> list[Row]:
    """Answer the same requests both ways; they have to find the same postings."""
    ours = measure("benchmarks.bench_candidates:ours", count=POSTINGS[size]).value
    peer = measure("benchmarks.bench_candidates:product", count=POSTINGS[size]).value
    if ours["best"] != peer["best"]:
        raise RuntimeError("ours and the product found postings of other scores")
    speeds = (ours["per_second"], peer["per_second"], "scipy product")
    return [Row("requests per CPU-second", "1/s", *speeds, target="ratio >= 2")]


def ours(count: int) -> dict:
    """Time `kernels.retrieve`, compiled before."""
    import numpy as np

    from components.candidates.kernels import retrieve

    lists, requests = _requests(count)
    hidden = np.zeros(0, np.int32)

    def answer(first: "np.ndarray", second: "np.ndarray", weights: "np.ndarray") -> list[float]:
        scores = np.zeros(count, np.float32)
        return retrieve(*lists, (first, second, weights), hidden, BEST, scores)[1].tolist()

    return _timed(answer, requests)


def product(count: int) -> dict:
    """Time a sparse product over all postings."""
    import numpy as np
    import scipy.sparse as sp

    lists, requests = _requests(count)
    ones = np.ones(len(lists.values), np.float32)
    has = sp.csc_matrix((ones, lists.values, lists.offsets), shape=(count, ATTRIBUTES))

    def answer(first: "np.ndarray", second: "np.ndarray", weights: "np.ndarray") -> list[float]:
        both = np.flatnonzero(second >= 0)
        alone = np.flatnonzero(second < 0)
        scores = has[:, first[alone]] @ weights[alone]
        scores += has[:, first[both]].multiply(has[:, second[both]]) @ weights[both]
        best = np.argpartition(-scores, BEST)[:BEST]
        return np.sort(scores[best])[::-1].tolist()

    return _timed(answer, requests)


def _timed(answer: Callable[..., list[float]], requests: list[tuple]) -> dict:
    answer(*requests[0])
    start = time.process_time()
    found = [answer(*request) for request in requests]
    spent = time.process_time() - start
    return {
        "per_second": len(requests) / spent,
        "best": [[round(score, 3) for score in scores if score > 0] for scores in found],
    }


def _requests(count: int) -> tuple["Lists", list[tuple]]:
    """Return postings whose attributes are as uneven as titles are, and members' clauses."""
    import numpy as np

    from components.candidates.postings import Lists

    random = np.random.default_rng(1)

    def attributes(size: int) -> "np.ndarray":
        return (random.random(size) ** 3 * ATTRIBUTES).astype(np.int64)

    lists = Lists.of(attributes(count * OWN), np.repeat(np.arange(count), OWN), ATTRIBUTES)
    requests = []
    for _ in range(REQUESTS):
        first, second = attributes(CLAUSES).astype(np.int32), attributes(CLAUSES).astype(np.int32)
        second[: CLAUSES // 2] = -1
        # Sums of these are exact in any order.
        weights = (random.integers(1, 64, CLAUSES) / 64).astype(np.float32)
        requests.append((first, second, weights))
    return lists, requests


BENCHMARKS = [Benchmark(f"candidates {size}", partial(compare_at, size)) for size in POSTINGS]
