"""Members' trails as session files."""

import pyarrow as pa
import pyarrow.parquet as pq

from components.activity.schema import SESSION_SCHEMA


def search(query, session=1):
    return {"action": "JOB_SEARCH", "query": query, "session": session}


def posting(action, company, title, session=1):
    return {"action": action, "company": company, "title": title, "session": session}


def write_sessions(directory, *parts):
    directory.mkdir()
    for number, part in enumerate(parts):
        rows = [
            {"member_id": member, "ts": i, "sequence": i, "channel": "search", **action}
            for member, actions in sorted(part.items())
            for i, action in enumerate(actions)
        ]
        table = pa.Table.from_pylist(rows, schema=SESSION_SCHEMA)
        pq.write_table(table, directory / f"part-{number:05d}.parquet")
    return directory
