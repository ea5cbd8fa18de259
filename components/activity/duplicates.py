"""Drop every action that an earlier one equals in all but its place in the input."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.activity.engine import ask, open_engine
from components.activity.quarantine import LONGEST_TEXT, as_json
from components.activity.readers import COLUMNS
from components.activity.schema import ACTION_SCHEMA
from components.files import whole_file

FIND = """
WITH twice AS (
    SELECT hash({columns}) AS h FROM {parts} GROUP BY h HAVING count(*) > 1
), alike AS (
    SELECT sequence, md5_number({as_json}) AS text
    FROM {parts} WHERE hash({columns}) IN (FROM twice)
)
SELECT sequence FROM alike
QUALIFY row_number() OVER (PARTITION BY text ORDER BY sequence) > 1
ORDER BY sequence
"""


def drop_duplicates(actions: Path) -> Iterator[pa.Table]:
    """Rewrite the parts of `actions` that hold duplicates, as the iterator moves on.

    A short hash over all parts finds rows that may be equal, a long one of those tells which are:
    the usual feed without duplicates costs one pass, and a member need not be in one place.

    Yields:
        The dropped rows of each part: `sequence`, and `raw`, the row as JSON.
    """
    engine = open_engine()
    query = FIND.format(
        columns=", ".join(COLUMNS),
        parts=f"read_parquet('{_quoted(actions)}/*.parquet')",
        as_json=as_json("ts"),
    )
    dropped = engine.sql(query).to_arrow_table()["sequence"].to_numpy()
    for part in sorted(actions.glob("*.parquet")) if len(dropped) else ():
        table = pq.read_table(part, schema=ACTION_SCHEMA)
        double = pc.is_in(table["sequence"], _between(dropped, table["sequence"]))
        if pc.any(double).as_py():
            with whole_file(part) as aside:
                pq.write_table(table.filter(pc.invert(double)), aside, compression="zstd")
            raw = f"SELECT sequence, left({as_json('ts')}, {LONGEST_TEXT}) AS raw FROM block"
            yield ask(engine, table.filter(double), f"{raw} ORDER BY sequence")


def _between(dropped: np.ndarray, sequence: pa.ChunkedArray) -> pa.Array:
    first, last = sequence[0].as_py(), sequence[-1].as_py()
    return pa.array(dropped[np.searchsorted(dropped, first) : np.searchsorted(dropped, last) + 1])


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
