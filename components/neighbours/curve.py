"""Recall and speed of an index at growing effort."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.neighbours.index import Found, Neighbours

TIE = 1e-6
REPEATS = 3


def curve(
    index: Neighbours, queries: NDArray[np.float32], widths: Sequence[int | None], *, k: int = 10
) -> list[dict[str, Any]]:
    """Measure searches of growing width, and first the comparison with everyone.

    Args:
        index: to search.
        queries: all of them go into one search, [q, d].
        widths: see `Neighbours.search`; efSearch where the index is a graph; None for its own.
        k: neighbours per query.

    Returns:
        Of each search {"index": "exact", "clusters" or "hnsw", "width", "recall":
        share of the k nearest that were found, "queries_per_cpu_second"}.
    """
    truth, speed = _timed(index, queries, k, compare_all=True)
    rows = [{"index": "exact", "width": None, "recall": 1.0, "queries_per_cpu_second": speed}]
    for width in widths:
        found, speed = _timed(index, queries, k, width=width)
        rows.append(
            {
                "index": index.kind,
                "width": width,
                "recall": recall(found, truth),
                "queries_per_cpu_second": speed,
            }
        )
    return rows


def recall(found: Found, truth: Found) -> float:
    """Return the share of the true neighbours that were found; any of those that tie will do."""
    wanted = truth.rows >= 0
    farthest = np.where(wanted, truth.similarity, np.inf).min(axis=1, keepdims=True)
    hits = (found.rows >= 0) & (found.similarity >= farthest - TIE)
    return float(hits.sum() / max(wanted.sum(), 1))


def _timed(index: Neighbours, queries, k: int, **effort: Any) -> tuple[Found, float]:
    index.search(queries[:32], k, **effort)  # compiles, and maps what it reads
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        found = index.search(queries, k, **effort)
        seconds.append(time.process_time() - start)
    # The fastest: others on the machine only ever slow a search down.
    return found, len(queries) / max(min(seconds), 1e-9)
