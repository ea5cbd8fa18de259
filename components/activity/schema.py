"""The columns of the activity tables, declared once for every room that reads them."""

import pyarrow as pa

from components.errors import IntentError

ACTION_SCHEMA = pa.schema(
    [
        pa.field("member_id", pa.string(), nullable=False),
        pa.field("ts", pa.int64(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("channel", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("query", pa.string()),
        pa.field("company", pa.string()),
        pa.field("title", pa.string()),
        pa.field("item_id", pa.string()),
    ]
)
"""One row per action: `ts` is microseconds UTC; `sequence` is input order and settles ties."""

SESSION_SCHEMA = ACTION_SCHEMA.append(pa.field("session", pa.int64(), nullable=False))
"""Actions and the number of their session, from 1 per member."""

QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.string()),
    ]
)
"""Rows that could not be used: `row` counts from 1 as an editor shows it, a CSV header included."""


class ActivityError(IntentError):
    """Actions that cannot be read, or sessions that cannot be cut from them."""
