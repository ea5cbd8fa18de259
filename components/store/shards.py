"""Writing the shards of a push: each is read back, and noted, so that a killed push can go on."""

import hashlib
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool

from components.progress import Bar
from components.store.errors import StoreError
from components.store.store import Store, open_store
from components.store.versions import Backend, Started

Shard = tuple[int, list[bytes], list[bytes]]
"""Its number, then names and values."""

_ATTEMPTS = 3
_log = logging.getLogger(__name__)


def put_shard(
    backend: Backend, started: Started, shard: int, keys: list[bytes], values: list[bytes]
) -> str:
    """Write one shard, unless it is in place, and read it back.

    Returns:
        Its digest.

    Raises:
        StoreError: it could not be written, or reads back otherwise again and again.
    """
    digest = hashlib.sha256(b"\n".join(keys) + b"".join(values)).hexdigest()
    noted = started.finished.get(shard) == digest
    for attempt in range(_ATTEMPTS):
        if attempt or not noted:
            backend.put(started, keys, values)
        wrong = backend.check(started, keys, values)
        if not wrong:
            if attempt or not noted:
                backend.finished(started, shard, digest)
            return digest
        _log.warning("push=%d shard=%d not_as_written=%d", started.number, shard, len(wrong))
    raise StoreError(
        f"shard {shard} of version {started.number} does not read back as written ({len(wrong)} "
        f"members, {wrong[0].decode(errors='replace')} first); readers keep the version before"
    )


def put_shards(
    pool: Executor, put: Callable[..., str], shards: Iterable[Shard], bar: Bar, *, waiting: int
) -> list[str]:
    """Have a pool put shards, while the next ones are laid out here.

    Args:
        pool: of threads, or of processes made by `pool_of`.
        put: what the pool does with a shard's number, names and values; returns its digest.
        shards: in order.
        bar: advances by members.
        waiting: shards that may be laid out and not written yet.

    Returns:
        Digests in the order of the shards.

    Raises:
        StoreError: see `put_shard`; or a process was killed.
    """
    digests: dict[int, str] = {}
    running: dict[Future, tuple[int, int]] = {}

    def collect(ready: Iterable[Future]) -> None:
        for future in ready:
            shard, members = running.pop(future)
            digests[shard] = future.result()
            bar.advance(members)

    with pool:
        try:
            for shard in shards:
                running[pool.submit(put, *shard)] = shard[0], len(shard[1])
                if len(running) >= waiting:
                    collect(wait(running, return_when=FIRST_COMPLETED).done)
            collect(list(running))
        except BrokenProcessPool as error:
            raise StoreError("a process of the push was killed; push again to go on") from error
        finally:
            pool.shutdown(cancel_futures=True)
    return [digests[shard] for shard in sorted(digests)]


def pool_of(url: str, dataset: str, started: Started, count: int) -> Executor:
    """Make a pool of processes for `put_in_process`; they end with this one, however it ends."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, context, _open, (url, dataset, started))


def put_in_process(shard: int, keys: list[bytes], values: list[bytes]) -> str:
    """See `put_shard`."""
    store, started = _mine
    return put_shard(store.backend, started, shard, keys, values)


_mine: tuple[Store, Started]


def _open(url: str, dataset: str, started: Started) -> None:
    global _mine
    _mine = open_store(url, dataset=dataset, role="writer"), started
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
