"""A day that follows: some members come back, and do again what they did in an earlier session.

It stands in for new data where there is none: a generated marketplace ends on its last day.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.activity.schema import ACTION_SCHEMA
from components.days.errors import DaysError
from components.files import whole_file

DAY, HOUR = 86_400_000_000, 3_600_000_000
SHARE = 0.04
"""Of the members come back on one day: a visit every 25 days, as in the marketplace's year."""


def write_tomorrow(actions: Path, target: Path, *, seed: int, share: float = SHARE) -> int:
    """Write the actions of the day after the last.

    Args:
        actions: directory of all actions so far.
        target: Parquet file to write, without the column `sequence`.
        seed: of who comes back, and what for.
        share: of the members who do; at least one does.

    Returns:
        The number of actions.

    Raises:
        DaysError: there are no actions.
    """
    parts = [
        pq.read_table(part, schema=ACTION_SCHEMA) for part in sorted(actions.glob("*.parquet"))
    ]
    table = pa.concat_tables(parts) if parts else ACTION_SCHEMA.empty_table()
    if not len(table):
        raise DaysError(f"{actions}: no actions")
    table = table.sort_by([("member_id", "ascending"), ("ts", "ascending")])
    rng = np.random.default_rng([seed, 4])
    first = (pc.max(table["ts"]).as_py() // DAY + 1) * DAY
    members = table["member_id"].combine_chunks().dictionary_encode()
    codes = members.indices.to_numpy()
    starts = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes))
    back = rng.choice(len(starts) - 1, max(1, round(share * (len(starts) - 1))), replace=False)
    ts = table["ts"].to_numpy()
    rows, times = [], []
    for member in sorted(back):
        own = np.arange(starts[member], starts[member + 1])
        begin = ts[rng.choice(own)]
        again = own[(ts[own] >= begin) & (ts[own] < begin + HOUR)]
        rows.append(again)
        times.append(first + rng.integers(0, DAY - HOUR) + ts[again] - begin)
    day = table.take(np.concatenate(rows)).drop_columns("sequence")
    day = day.set_column(
        day.schema.get_field_index("ts"), ACTION_SCHEMA.field("ts"), pa.array(np.concatenate(times))
    )
    with whole_file(target) as aside:
        pq.write_table(day, aside)
    return len(day)
