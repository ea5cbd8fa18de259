import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.activity.schema import SESSION_SCHEMA


@pytest.fixture(scope="session")
def write_parts_in():
    """Write session parts; a row is (member, session, action, text) or has company and title."""

    def write(target, *parts):
        target.mkdir(parents=True)
        for number, rows in enumerate(parts):
            table = pa.Table.from_pylist(
                [_row(position, *row) for position, row in enumerate(rows)], schema=SESSION_SCHEMA
            )
            pq.write_table(table, target / f"part-{number:05d}.parquet")
        return target

    return write


@pytest.fixture
def write_parts(tmp_path, write_parts_in):
    return lambda *parts, name="sessions": write_parts_in(tmp_path / name, *parts)


def _row(position, member, session, action, *texts):
    query, company, title = (texts[0], None, None) if len(texts) == 1 else (None, *texts)
    return {
        "member_id": member,
        "ts": position * 1_000_000,
        "sequence": position,
        "channel": "search",
        "action": action,
        "query": query,
        "company": company,
        "title": title,
        "item_id": None,
        "session": session,
    }
