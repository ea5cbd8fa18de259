"""Applications of members' target periods, and whether they led to a confirmed hire."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.activity.engine import open_engine
from components.hires.errors import HiresError
from components.ranking.pages import load_periods

DAY = 86_400_000_000
_RESPONSES = pa.schema(
    {
        "member_id": pa.string(),
        "item_id": pa.string(),
        "applied_ts": pa.int64(),
        "response": pa.string(),
        "response_ts": pa.int64(),
    }
)


class Applications(NamedTuple):
    """Applications in order of member and time, n of them.

    Attributes:
        member_ids, item_ids: who applied for what.
        ts: int64[n], microseconds UTC.
        hired: bool[n], whether a hire was confirmed within the horizon.
        split: int8[n], 0 training, 1 validation, 2 test.
        member: int64[n], number of the member.
        outstanding: applications left out because their answer may still come.
    """

    member_ids: pa.Array
    item_ids: pa.Array
    ts: NDArray[np.int64]
    hired: NDArray[np.bool_]
    split: NDArray[np.int8]
    member: NDArray[np.int64]
    outstanding: int

    def __len__(self) -> int:
        return len(self.ts)


def read_applications(
    feed: Path, sessions: Path, examples: Path, *, horizon_days: float
) -> Applications:
    """Read the applications of every member's latest target, that all had time to be answered.

    An application is labelled by whether a hire was confirmed within the horizon; silence, a
    rejection and an interview without a hire are all "no". One that is younger than the horizon at
    the last event is left out even if it was answered, because quick answers are not like others.

    Args:
        feed: directory whose `responses` hold the answers.
        sessions: directory of session parts.
        examples: directory written by `build_examples`.
        horizon_days: time that an answer is given.

    Raises:
        HiresError: a file of responses is damaged or lacks a column; names both.
    """
    responses = _read_responses(feed)
    horizon = round(horizon_days * DAY)
    with open_engine() as engine:
        load_periods(engine, sessions, examples)
        engine.register("answer", responses)
        table = engine.query(_APPLICATIONS.format(horizon=horizon)).to_arrow_table()
    old = table["old"].to_numpy()
    kept = table.filter(table["old"]).combine_chunks()
    members = kept["member_id"].combine_chunks()
    return Applications(
        member_ids=members,
        item_ids=kept["item_id"].combine_chunks(),
        ts=kept["ts"].to_numpy(),
        hired=kept["hired"].to_numpy(),
        split=kept["split"].to_numpy().astype(np.int8),
        member=members.dictionary_encode().indices.to_numpy().astype(np.int64),
        outstanding=int(len(old) - old.sum()),
    )


def response_files(feed: Path) -> list[Path]:
    """Return the files of recruiters' responses; none where a feed has none."""
    return sorted((feed / "responses").glob("*.parquet"))


def _read_responses(feed: Path) -> pa.Table:
    tables = []
    for file in response_files(feed):
        try:
            names = pq.read_schema(file).names
            missing = [name for name in _RESPONSES.names if name not in names]
            if missing:
                raise HiresError(f"{file}: column {missing[0]} is missing")
            tables.append(pq.read_table(file, columns=_RESPONSES.names).cast(_RESPONSES))
        except (OSError, pa.ArrowException) as error:
            raise HiresError(f"{file}: cannot be read: {error}") from error
    return pa.concat_tables(tables) if tables else _RESPONSES.empty_table()


_APPLICATIONS = """
WITH latest AS (SELECT max(ts) AS latest FROM session_row),
told AS (
    SELECT member_id, item_id, applied_ts AS ts,
        bool_or(response = 'confirmed_hire' AND response_ts <= applied_ts + {horizon}) AS hired
    FROM answer GROUP BY ALL
)
SELECT member_id, item_id, ts, split, coalesce(hired, false) AS hired,
    ts + {horizon} <= latest AS old
FROM session_row JOIN period USING (member_id) CROSS JOIN latest
LEFT JOIN told USING (member_id, item_id, ts)
WHERE action = 'APPLY' AND item_id IS NOT NULL AND ts >= start AND (finish IS NULL OR ts < finish)
ORDER BY member_id, ts, item_id
"""
