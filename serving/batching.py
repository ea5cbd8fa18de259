"""Dynamic batching: what comes in while the cores are busy is computed together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from serving.errors import Overloaded

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Computes items of many requests together, on as many threads as there are cores.

    Nobody waits for a batch to fill: an idle core takes what there is, so that a lone request is
    as fast as without batching, and batches grow with the load.

    Args:
        name: said when too many wait.
        compute: from items to one row of an array each; called on several threads at once.
        threads: batches at once.
        most: items of one batch.
        waiting: items that may wait.
    """

    def __init__(
        self,
        name: str,
        compute: Callable[[Sequence[Item]], NDArray[np.float32]],
        *,
        threads: int,
        most: int,
        waiting: int,
    ):
        self._name, self._compute = name, compute
        self._most, self._limit = most, waiting
        self._queue: deque[tuple[Item, asyncio.Future]] = deque()
        self._idle = threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._running: set[asyncio.Task] = set()  # the loop itself holds them weakly

    async def rows(self, items: Sequence[Item]) -> NDArray[np.float32]:
        """Return float32[n, d], a row per item.

        Raises:
            Overloaded: too many items wait already.
        """
        if len(self._queue) + len(items) > self._limit:
            raise Overloaded(self._name, f"{len(self._queue)} computations wait already")
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in items]
        self._queue.extend(zip(items, futures, strict=True))
        self._start(loop)
        return np.stack(await asyncio.gather(*futures))

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue and self._idle:
            # An equal share for each idle thread, or the first would leave none to the second.
            share = min(self._most, -(-len(self._queue) // self._idle))
            batch = [self._queue.popleft() for _ in range(share)]
            batch = [(item, future) for item, future in batch if not future.done()]
            if batch:
                self._idle -= 1
                task = loop.create_task(self._run(loop, batch))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _run(
        self, loop: asyncio.AbstractEventLoop, batch: list[tuple[Item, asyncio.Future]]
    ) -> None:
        try:
            items = [item for item, _ in batch]
            rows = await loop.run_in_executor(self._threads, self._compute, items)
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), row in zip(batch, rows, strict=True):
                if not future.done():  # its client went away
                    future.set_result(row)
        finally:
            self._idle += 1
            self._start(loop)
