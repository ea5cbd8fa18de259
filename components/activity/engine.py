"""The embedded query engine behind every source, and work that runs ahead of its reader."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

MEMORY_LIMIT = "2GB"


def open_engine(*, keep_order: bool = False) -> "duckdb.DuckDBPyConnection":
    """Open DuckDB in memory, with UTC times; work that outgrows its memory goes on on disk.

    Args:
        keep_order: whether rows must leave in the order in which they came. Over Arrow tables
            DuckDB promises it for one thread only.
    """
    import duckdb

    spill = Path(gettempdir()) / f"intent-store-{os.getpid()}"
    engine = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)})
    engine.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    if keep_order:
        engine.execute("SET threads = 1")
    return engine


def ask(engine: "duckdb.DuckDBPyConnection", block: pa.Table, query: str) -> pa.Table:
    """Answer a query over the table that it calls `block`."""
    return engine.from_arrow(block).query("block", query).to_arrow_table()  # type: ignore[union-attr]


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield `items` while the next one is already being made in another thread."""
    nothing = object()
    iterator = iter(items)
    with ThreadPoolExecutor(1) as other:
        pending = deque([other.submit(next, iterator, nothing)])
        while (item := pending.popleft().result()) is not nothing:
            pending.append(other.submit(next, iterator, nothing))
            yield item  # type: ignore[misc]
