"""What files tell beside the actions: pages shown, postings, profiles, recruiters' answers.

Rankers, audiences and predicted hires are made of them; a feed without some of these tables goes
without what is made of these.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.activity.config import FilesConfig
from components.activity.feed import Feed
from components.activity.locate import SourceFile, find_files
from components.activity.quarantine import EARLIEST, LATEST
from components.activity.schema import QUARANTINE_SCHEMA, ActivityError

_TEXTS = pa.list_(pa.string())


def _schema(needed: dict[str, pa.DataType], **known: pa.DataType) -> pa.Schema:
    fields = [pa.field(name, kind, nullable=False) for name, kind in needed.items()]
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in known.items())])


BESIDE = {
    "impressions": _schema(
        {
            "member_id": pa.string(),
            "ts": pa.int64(),
            "channel": pa.string(),
            "item_ids": _TEXTS,
            "outcomes": _TEXTS,
        },
        query=pa.string(),
    ),
    "postings": _schema(
        {"item_id": pa.string(), "title": pa.string()},
        company=pa.string(),
        industry=pa.string(),
        place=pa.string(),
        skills=_TEXTS,
    ),
    "profiles": _schema(
        {"member_id": pa.string()}, place=pa.string(), headline=pa.string(), years=pa.int16()
    ),
    "responses": _schema(
        {
            "member_id": pa.string(),
            "item_id": pa.string(),
            "applied_ts": pa.int64(),
            "response": pa.string(),
            "response_ts": pa.int64(),
        }
    ),
}
"""Tables by their folder in a feed. Times are microseconds UTC. A page's item_ids run from the top,
its outcomes beside them name the strongest action on each, "" for none."""

UNEQUAL = "item_ids and outcomes differ in number"


def read_beside(config: FilesConfig, feed: Feed) -> None:
    """Copy the tables that `config` names into a feed, by their columns; bad rows are refused.

    Args:
        config: where each table's Parquet files are.
        feed: being written.

    Raises:
        ActivityError: a file is unreadable, lacks a column or has one of another type; names both.
    """
    for table, schema in BESIDE.items():
        path = getattr(config, table)
        if path is None:
            continue
        for file in find_files(FilesConfig(path=path, format="parquet")):
            _copy(file, table, schema, feed)


def _copy(file: SourceFile, table: str, schema: pa.Schema, feed: Feed) -> None:
    try:
        with file.open() as stored:
            source = pq.ParquetFile(stored)
            names = source.schema_arrow.names
            lacking = [
                field.name for field in schema if not (field.nullable or field.name in names)
            ]
            if lacking:
                raise ActivityError(f"{file.name}: no column {', '.join(lacking)}")
            row = 1
            for batch in source.iter_batches(columns=[n for n in schema.names if n in names]):
                _admit(file, row, table, _typed(file, batch, schema), feed)
                row += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise ActivityError(f"{file.name}: cannot be read as parquet ({error})") from error


def _typed(file: SourceFile, batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        if field.name not in batch.schema.names:
            columns.append(pa.nulls(len(batch), field.type))
            continue
        column = batch[field.name]
        try:
            if pa.types.is_timestamp(column.type):
                column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise ActivityError(
                f"{file.name}: column {field.name} is {column.type}, not {field.type} ({error})"
            ) from error
    # Not yet of `schema`: what it must have may still be missing in a row.
    return pa.table(dict(zip(schema.names, columns, strict=True)))


def _admit(file: SourceFile, first_row: int, table: str, rows: pa.Table, feed: Feed) -> None:
    schema, reason = BESIDE[table], np.full(len(rows), "", object)
    if table == "impressions":
        lengths = [pc.list_value_length(rows[name]) for name in ("item_ids", "outcomes")]
        reason[pc.fill_null(pc.not_equal(*lengths), False).to_numpy()] = f"{table}: {UNEQUAL}"
    for field in schema:
        if not field.nullable:
            reason[rows[field.name].is_null().to_numpy()] = f"{table}: no {field.name}"
        if field.type == pa.int64():  # a time
            early, late = pc.less(rows[field.name], EARLIEST), pc.greater(rows[field.name], LATEST)
            outside = pc.fill_null(pc.or_(early, late), False).to_numpy()
            reason[outside] = f"{table}: implausible {field.name}"
    good = reason == ""
    feed.write(table, rows.filter(pa.array(good)).cast(schema))
    bad = np.flatnonzero(~good)
    refused = {
        "file": [file.name] * len(bad),
        "row": first_row + bad,
        "reason": reason[bad].tolist(),
        "raw": [str(row) for row in rows.take(pa.array(bad)).to_pylist()],
    }
    feed.refuse(pa.table(refused, schema=QUARANTINE_SCHEMA))
