"""Work in blocks on several threads, each of them one thread's worth.

Compiled kernels and BLAS both release Python's lock. BLAS is held to one thread per block, so that
no result depends on how many threads there are.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from threadpoolctl import threadpool_limits

Block = TypeVar("Block")
Result = TypeVar("Result")


def in_blocks(
    work: Callable[[Block], Result], blocks: Sequence[Block], threads: int | None
) -> Iterator[Result]:
    """Yield `work(block)` of every block, in order; all cores unless `threads` says otherwise."""
    workers = min(threads or len(os.sched_getaffinity(0)), len(blocks))
    if workers <= 1:
        with threadpool_limits(1, "blas"):
            yield from map(work, blocks)
        return
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(work, blocks)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def even_blocks(total: int, *, parts: int, least: int, most: int) -> list[range]:
    """Cut `total` items into ranges of equal size, about `parts` of them, within two limits."""
    size = min(max(-(-total // parts), least), most)
    return [range(start, min(start + size, total)) for start in range(0, total, size)]


@contextmanager
def hold_faiss() -> Iterator[None]:
    """Keep what the calling thread asks of faiss to this thread."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
