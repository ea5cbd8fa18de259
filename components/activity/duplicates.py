"""Drop every action that an earlier one equals in all but its place in the input."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.activity.engine import open_engine
from components.activity.quarantine import LONGEST_TEXT, as_json
from components.activity.readers import COLUMNS
from components.activity.schema import ACTION_SCHEMA
from components.files import whole_file


def drop_duplicates(actions: Path) -> Iterator[pa.Table]:
    """Rewrite the parts of `actions` that hold duplicates, once the iterator is used up.

    Rows are compared by hash first, over all parts at once, so that the usual feed without
    duplicates costs one pass and no member has to be in one place.

    Yields:
        The dropped rows in pieces: `sequence`, and `raw`, the row as JSON.
    """
    columns = ", ".join(COLUMNS)
    parts = f"read_parquet('{_quoted(actions)}/*.parquet')"
    duplicates = (
        open_engine()
        .sql(
            f"""
        WITH twice AS (
            SELECT hash({columns}) AS h FROM {parts} GROUP BY h HAVING count(*) > 1
        ), numbered AS (
            SELECT *, row_number() OVER (PARTITION BY {columns} ORDER BY sequence) AS nth
            FROM {parts} WHERE hash({columns}) IN (FROM twice)
        )
        SELECT sequence, left({as_json("ts")}, {LONGEST_TEXT}) AS raw
        FROM numbered WHERE nth > 1 ORDER BY sequence
        """
        )
        .to_arrow_reader(1 << 16)
    )
    dropped = []
    for batch in duplicates:
        dropped.append(batch["sequence"].to_numpy())
        yield pa.Table.from_batches([batch])
    if dropped:
        _rewrite(actions, np.concatenate(dropped))


def _rewrite(actions: Path, dropped: np.ndarray) -> None:
    for part in sorted(actions.glob("*.parquet")):
        table = pq.read_table(part, schema=ACTION_SCHEMA)
        first, last = table["sequence"][0].as_py(), table["sequence"][-1].as_py()
        here = dropped[np.searchsorted(dropped, first) : np.searchsorted(dropped, last, "right")]
        if len(here):
            kept = table.filter(pc.invert(pc.is_in(table["sequence"], pa.array(here))))
            with whole_file(part) as aside:
                pq.write_table(kept, aside, compression="zstd")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
