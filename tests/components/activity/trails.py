"""Actions for tests, written the way one tells a story."""

import pyarrow as pa

from components.activity.schema import ACTION_SCHEMA

MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE


def trail(sessions):
    """Return actions of (member, [(action, text), ...]), a session a day, an action a minute.

    The text is a query when the action is a search, else a title at the company Acme.
    """
    rows = []
    for day, (member, actions) in enumerate(sessions):
        for minute, (action, text) in enumerate(actions):
            query = action.endswith("SEARCH")
            rows.append(
                {
                    "member_id": member,
                    "ts": day * DAY + minute * MINUTE,
                    "sequence": len(rows),
                    "channel": "search",
                    "action": action,
                    "query": text if query else None,
                    "company": None if query else "Acme",
                    "title": None if query else text,
                    "item_id": None,
                }
            )
    return pa.Table.from_pylist(rows, schema=ACTION_SCHEMA)
