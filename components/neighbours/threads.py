"""BLAS held to one thread: shards and blocks of queries are what runs in parallel."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@contextmanager
def hold_blas() -> Iterator[None]:
    """Keep BLAS to the calling thread.

    Searches overlap: the first holds it, the last lets it go.
    """
    global _holders, _held
    with _HOLDING:
        if _holders == 0:
            _held = _pools().limit(limits=1, user_api="blas")
        _holders += 1
    try:
        yield
    finally:
        with _HOLDING:
            _holders -= 1
            if _holders == 0:
                _held.restore_original_limits()


_HOLDING = threading.Lock()
_holders = 0
_held: Any = None


@cache
def _pools() -> ThreadpoolController:
    import faiss  # noqa: F401  brings a BLAS of its own, which has to be there to be found

    return ThreadpoolController()
