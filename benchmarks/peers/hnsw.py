"""hnswlib, in its own environment."""

import time
from pathlib import Path

import numpy as np

REPEATS = 3


def search(data: str, links: int, build_width: int, widths: list[int]) -> dict:
    """Build on one thread and search with each efSearch; return CPU seconds and the curve."""
    import hnswlib

    folder = Path(data)
    vectors, queries = np.load(folder / "x.npy", mmap_mode="r"), np.load(folder / "queries.npy")
    truth = np.load(folder / "truth.npy")
    start = time.process_time()
    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), M=links, ef_construction=build_width, random_seed=1)
    index.set_num_threads(1)
    index.add_items(vectors)
    built, curve = time.process_time() - start, []
    for width in widths:
        index.set_ef(width)
        seconds = []
        for _ in range(REPEATS):
            start = time.process_time()
            found, _ = index.knn_query(queries, truth.shape[1])
            seconds.append(time.process_time() - start)
        hits = (found[:, :, None].astype(np.int64) == truth[:, None]).any(axis=2)
        speed = len(queries) / min(seconds)
        curve.append(
            {"width": width, "recall": float(hits.mean()), "queries_per_cpu_second": speed}
        )
    return {"build_cpu_seconds": built, "curve": curve}
