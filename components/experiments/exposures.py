"""What was answered and what came of it: the two tables that every analysis joins."""

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.experiments.errors import ExperimentsError
from components.files import whole_file

logger = logging.getLogger(__name__)

EXPOSURE_SCHEMA = pa.schema(
    [
        pa.field("ts", pa.int64(), nullable=False),  # UTC microseconds of the answer
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("service", pa.string(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),  # rest, grpc
        pa.field("experiment", pa.string(), nullable=False),  # "": in none
        pa.field("revision", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),  # assigned
        pa.field("served", pa.string(), nullable=False),  # that answered
        pa.field("reason", pa.string(), nullable=False),  # one of REASONS
        pa.field("status", pa.int32(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("layer", pa.string(), nullable=False),  # "": none
        # Share that the manifest gives the assigned variant. With it an exposure says by itself
        # what to expect of its epoch; null is looked up in the manifest of that revision.
        pa.field("percent", pa.float64()),
    ]
)
OUTCOME_SCHEMA = pa.schema(
    [
        pa.field("unit", pa.string(), nullable=False),
        pa.field("ts", pa.int64(), nullable=False),  # UTC microseconds
        pa.field("metric", pa.string(), nullable=False),  # click, apply, pch, ...
        pa.field("value", pa.float64(), nullable=False),
        pa.field("request_id", pa.string()),  # of the answer it came from, when known
    ]
)

DRAWN, TIMEOUT, ERROR = "", "fallback:timeout", "fallback:error"
OVERRIDE, NO_UNIT, STOPPED = "override", "no unit", "stopped"
REASONS = (DRAWN, TIMEOUT, ERROR, OVERRIDE, NO_UNIT, STOPPED)

_OPTIONAL = {"layer": "", "percent": None}


class Read(NamedTuple):
    """Exposures read from lines, and what could not be read.

    Attributes:
        table: in EXPOSURE_SCHEMA, in the order of the lines.
        bad: (line number from 1, reason) of each line left out.
    """

    table: pa.Table
    bad: list[tuple[int, str]]


def read_lines(lines: Iterable[str | bytes]) -> Read:
    """Read exposures from JSON lines.

    A line that a kill cut short, or that lacks a field, is left out and reported: one bad line
    does not cost the others.
    """
    rows: list[dict[str, Any]] = []
    bad = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(_exposure(json.loads(line)))
        except (ValueError, TypeError, RecursionError) as error:
            bad.append((number, str(error)))
    return Read(pa.Table.from_pylist(rows, schema=EXPOSURE_SCHEMA), bad)


def read_log(path: Path) -> Read:
    """Read exposures from a file of JSON lines.

    Raises:
        ExperimentsError: the file cannot be read.
    """
    try:
        with path.open("rb") as lines:
            return read_lines(lines)
    except OSError as error:
        raise ExperimentsError(f"{path}: cannot be read: {error}") from error


def write_exposures(table: pa.Table, target: Path) -> None:
    """Write exposures as one Parquet file, whole or not at all.

    Raises:
        ExperimentsError: the table is not one of exposures.
    """
    _write(table, target, EXPOSURE_SCHEMA)


def write_outcomes(table: pa.Table, target: Path) -> None:
    """Write outcomes as one Parquet file, whole or not at all.

    Raises:
        ExperimentsError: the table is not one of outcomes.
    """
    _write(table, target, OUTCOME_SCHEMA)


def ship_log(log: Path, target: Path) -> int:
    """Turn a log file that is no longer written to into Parquet.

    Doing it again gives the same file, so a log may be shipped anew after a crash, and be removed
    once this returns.

    Args:
        log: of JSON lines.
        target: Parquet file to write.

    Returns:
        How many exposures were written; bad lines are logged and left out.

    Raises:
        ExperimentsError: the log cannot be read.
    """
    read = read_log(log)
    for number, reason in read.bad:
        logger.warning("bad exposure file=%s line=%d reason=%r", log, number, reason)
    write_exposures(read.table, target)
    return read.table.num_rows


def read_exposures(source: Path, *, experiment: str | None = None) -> pa.Table:
    """Read exposures from a Parquet file or a directory of them, dated directories included.

    Args:
        source: file or directory.
        experiment: name of the one to keep; a log holds those of all.

    Raises:
        ExperimentsError: there is none, or one is not of exposures; names the file.
    """
    return _read(source, EXPOSURE_SCHEMA, experiment)


def read_outcomes(source: Path) -> pa.Table:
    """Read outcomes from a Parquet file or a directory of them.

    Raises:
        ExperimentsError: there is none, or one is not of outcomes; names the file.
    """
    return _read(source, OUTCOME_SCHEMA)


def conform(table: pa.Table, schema: pa.Schema, source: str) -> pa.Table:
    """Bring a table to a schema.

    Raises:
        ExperimentsError: a column is missing, of another type, or null where it may not be.
    """
    columns = []
    for column in schema:
        if column.name in table.column_names:
            try:
                values = table[column.name].cast(column.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise ExperimentsError(f"{source}: {column.name}: {error}") from error
        elif column.name in _OPTIONAL or column.nullable:
            value = pa.scalar(_OPTIONAL.get(column.name), column.type)
            values = pa.repeat(value, table.num_rows)
        else:
            raise ExperimentsError(f"{source}: lacks the column {column.name}")
        if values.null_count and not column.nullable:
            raise ExperimentsError(f"{source}: {column.name}: {values.null_count} are null")
        columns.append(values)
    return pa.table(columns, schema=schema)


def _exposure(line: Any) -> dict[str, Any]:
    if not isinstance(line, dict):
        raise TypeError("not an object")
    row: dict[str, Any] = {}
    for column in EXPOSURE_SCHEMA:
        value: Any = line.get(column.name, _OPTIONAL.get(column.name))
        if value is None and column.nullable:
            row[column.name] = None
            continue
        wanted = _TYPES[column.type]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise TypeError(f"{column.name} is {value!r}")
        if isinstance(value, str):
            value.encode()  # refuses half a surrogate pair, which Arrow could not hold
        limit = 2**31 if column.type == pa.int32() else 2**63
        if isinstance(value, int | float) and not abs(value) < limit:
            raise ValueError(f"{column.name} is {value!r}")
        row[column.name] = value
    return row


_TYPES: dict[pa.DataType, type | tuple[type, ...]] = {
    pa.int64(): int,
    pa.int32(): int,
    pa.float64(): (int, float),
    pa.string(): str,
}


def _write(table: pa.Table, target: Path, schema: pa.Schema) -> None:
    whole = conform(table, schema, str(target))
    with whole_file(target) as aside:
        pq.write_table(whole, aside, compression="zstd")


def _read(source: Path, schema: pa.Schema, experiment: str | None = None) -> pa.Table:
    files: Sequence[Path] = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
    files = [file for file in files if not file.name.startswith(".")]
    if not files:
        raise ExperimentsError(f"{source}: holds no Parquet file")
    tables = []
    for file in files:
        try:
            with pq.ParquetFile(file) as opened:
                table = conform(opened.read(), schema, str(file))
        except (OSError, pa.ArrowInvalid) as error:
            raise ExperimentsError(f"{file}: cannot be read as Parquet: {error}") from error
        if experiment is not None:
            table = table.filter(pc.equal(table["experiment"], experiment))
        tables.append(table)
    return pa.concat_tables(tables)
