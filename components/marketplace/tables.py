"""How the marketplace's tables are written."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def save(table: pa.Table, path: Path) -> None:
    """Write `table` as Parquet with plain string columns (no Arrow schema kept)."""
    pq.write_table(table, path, store_schema=False, compression="snappy", write_statistics=False)
