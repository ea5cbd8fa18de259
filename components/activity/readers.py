"""Read files of actions, whatever their format, as blocks of rows; a bad row is a row, too."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from components.activity.engine import ask
from components.activity.locate import SourceFile
from components.activity.schema import ACTION_SCHEMA, ActivityError

if TYPE_CHECKING:
    import duckdb

COLUMNS = tuple(name for name in ACTION_SCHEMA.names if name != "sequence")
REQUIRED = ("member_id", "ts", "channel", "action")
FIRST_ROW = {"parquet": 1, "csv": 2, "jsonl": 1}
"""The number of the first action's row: a CSV file has its header in row 1."""

BLOCK_ROWS = 1 << 18
BLOCK_BYTES = 32 << 20
LONGEST_LINE = 128 << 20

MALFORMED = "malformed row"
BAD_TEXT = "invalid UTF-8"
WRONG_TYPE = "wrong type"


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a file.

    Attributes:
        rows: `row` (its number in the file), `problem` (why it cannot be read, or null), `raw` (the
            row as written, null where only its columns are known) and an action's columns as text;
            `ts` may be int64 microseconds instead.
        consumed: share of the file read so far.
    """

    rows: pa.Table
    consumed: float


def read_blocks(file: SourceFile, engine: "duckdb.DuckDBPyConnection") -> Iterator[Block]:
    """Yield the rows of `file` in order, in bounded memory.

    Raises:
        ActivityError: the file as a whole is unreadable, or lacks a column that every action needs.
    """
    if file.size == 0:
        return
    with _opened(file, file.format) as stored:
        if file.format == "parquet":
            yield from _parquet(file, stored)
        elif file.format == "csv":
            yield from _csv(file, stored)
        else:
            yield from _json_lines(file, stored, engine)


class Lines(NamedTuple):
    """Some lines of a file, empty ones left out.

    Attributes:
        numbers: int64[n], of the lines in the file, from 1.
        texts: string[n], line ends included.
        unreadable: number and approximate text of the lines that are not UTF-8.
    """

    numbers: np.ndarray
    texts: pa.StringArray
    unreadable: list[tuple[int, str]]


def read_lines(file: SourceFile) -> Iterator[Lines]:
    """Yield the lines of `file` in blocks.

    Raises:
        ActivityError: the file as a whole is unreadable.
    """
    with _opened(file, "text") as stored:
        yield from _lines(file, stored)


@contextmanager
def _opened(file: SourceFile, what: str) -> Iterator[pa.NativeFile]:
    try:
        with file.open() as stored:
            yield stored
    except (pa.ArrowException, OSError) as error:
        raise ActivityError(f"{file.name}: cannot be read as {what} ({error})") from error


def _parquet(file: SourceFile, stored: pa.NativeFile) -> Iterator[Block]:
    source = pq.ParquetFile(stored)
    schema = source.schema_arrow
    present = _present_columns(file, schema.names)
    for name in present:
        _check_type(file, schema.field(name))
    read = 0
    for batch in source.iter_batches(BLOCK_ROWS, columns=present):
        numbers = np.arange(read + 1, read + len(batch) + 1)
        read += len(batch)
        columns = {name: _plain(batch[name], name) for name in present}
        yield Block(_rows(numbers, columns), read / source.metadata.num_rows)


def _csv(file: SourceFile, stored: pa.NativeFile) -> Iterator[Block]:
    ragged: list[tuple[int, str]] = []

    def set_aside(row: pa.csv.InvalidRow) -> str:
        ragged.append((row.number, row.text))
        return "skip"

    batches = pa.csv.open_csv(
        file.decompressed(stored),
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        # Empty lines count as rows, so that row numbers are those an editor shows.
        parse_options=pa.csv.ParseOptions(
            newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=set_aside
        ),
        convert_options=pa.csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(COLUMNS, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    present = _present_columns(file, batches.schema.names)
    read = reported = 0
    for batch in batches:
        # The header is the first good row.
        numbers = _line_numbers(np.arange(read + 2, read + len(batch) + 2), ragged)
        read += len(batch)
        rows = _rows(numbers, {name: batch[name] for name in present})
        empty = np.logical_and.reduce([batch[name].is_null().to_numpy(False) for name in present])
        yield Block(rows.filter(pa.array(~empty)) if empty.any() else rows, _share(file, stored))
        if len(ragged) > reported:
            yield Block(_unread(ragged[reported:], MALFORMED), _share(file, stored))
            reported = len(ragged)
    if len(ragged) > reported:
        yield Block(_unread(ragged[reported:], MALFORMED), 1.0)


def _line_numbers(ordinals: np.ndarray, ragged: list[tuple[int, str]]) -> np.ndarray:
    good_before = np.array([number - 1 - i for i, (number, _) in enumerate(ragged)], np.int64)
    return ordinals + np.searchsorted(good_before, ordinals, side="left")


def _json_lines(
    file: SourceFile, stored: pa.NativeFile, engine: "duckdb.DuckDBPyConnection"
) -> Iterator[Block]:
    for lines in _lines(file, stored):
        if lines.unreadable:
            yield Block(_unread(lines.unreadable, BAD_TEXT), _share(file, stored))
        yield Block(parse_json(lines, engine), _share(file, stored))


def _lines(file: SourceFile, stored: pa.NativeFile) -> Iterator[Lines]:
    first = 1
    for data in _whole_lines(file, file.decompressed(stored)):
        texts = _split_lines(data)
        numbers = np.arange(first, first + len(texts))
        first += len(texts)
        kept = ~pc.is_in(texts, pa.array(["\n", "\r\n"])).to_numpy(False)
        bad = _bad_text([texts])
        unreadable = [
            (number, line.decode("utf-8", "replace").rstrip("\r\n"))
            for number, line in zip(
                numbers[bad].tolist(),
                texts.filter(pa.array(bad)).cast(pa.binary()).to_pylist(),
                strict=True,
            )
        ]
        kept &= ~bad
        yield Lines(numbers[kept], texts.filter(pa.array(kept)), unreadable)


def _whole_lines(file: SourceFile, stream: pa.NativeFile) -> Iterator[bytes]:
    rest = stream.read(BLOCK_BYTES).removeprefix(b"\xef\xbb\xbf")
    while rest:
        piece = stream.read(BLOCK_BYTES)
        end = rest.rfind(b"\n") + 1 if piece else len(rest)
        if end:
            yield rest[:end]
        elif len(rest) > LONGEST_LINE:
            raise ActivityError(f"{file.name}: a line is longer than {LONGEST_LINE >> 20} MiB")
        rest = rest[end:] + piece


def _split_lines(data: bytes) -> pa.StringArray:
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))


def parse_json(lines: Lines, engine: "duckdb.DuckDBPyConnection") -> pa.Table:
    """Return the rows (as in `Block`) of lines that hold a JSON object each, or should."""
    paths = [f"$.{name}" for name in COLUMNS]
    # Only what sorts like an object, an array or a boolean is parsed again for its type.
    wrong = " OR ".join(
        f"((v[{i}] >= '{{' OR v[{i}] >= '[' AND v[{i}] < '\\' OR v[{i}] IN ('true', 'false'))"
        f" AND json_type(line, '{path}') IN ('OBJECT', 'ARRAY', 'BOOLEAN'))"
        for i, path in enumerate(paths, 1)
    )
    values = ", ".join(f"v[{i}] AS {name}" for i, name in enumerate(COLUMNS, 1))
    query = f"""
        SELECT CASE WHEN v IS NULL THEN '{MALFORMED}' WHEN {wrong} THEN '{WRONG_TYPE}' END
                   AS problem, {values}
        FROM (SELECT line, CASE WHEN starts_with(line, '{{') OR starts_with(ltrim(line), '{{')
                                THEN TRY(json_extract_string(line, {paths})) END AS v FROM block)
    """
    parsed = ask(engine, pa.table({"line": lines.texts}), query)
    return parsed.append_column("row", pa.array(lines.numbers)).append_column("raw", lines.texts)


def _present_columns(file: SourceFile, names: list[str]) -> list[str]:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise ActivityError(
            f"{file.name}: no column {', '.join(missing)} (it has {', '.join(names)})"
        )
    return [name for name in COLUMNS if name in names]


def _check_type(file: SourceFile, field: pa.Field) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    types = pa.types
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    fits = text or types.is_integer(kind) or types.is_null(kind)
    if field.name == "ts":
        fits = fits or types.is_timestamp(kind) or types.is_date(kind)
    if not fits:
        wanted = (
            "integer microseconds, ISO-8601 text or a timestamp" if field.name == "ts" else "text"
        )
        raise ActivityError(
            f"{file.name}: column {field.name} is {field.type}, where {wanted} is expected"
        )


def _plain(column: pa.Array, name: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if name == "ts" and (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        zone = getattr(column.type, "tz", None)
        # Finer than a microsecond is cut off.
        return column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    if name == "ts" and pa.types.is_integer(column.type):
        return column.cast(pa.int64(), safe=False)
    return column.cast(pa.string())


def _rows(numbers: np.ndarray, columns: dict[str, pa.Array]) -> pa.Table:
    texts = [name for name, column in columns.items() if pa.types.is_string(column.type)]
    bad = _bad_text([columns[name] for name in texts])
    problem = pa.nulls(len(numbers), pa.string())
    if bad.any():
        problem = pc.if_else(pa.array(bad), BAD_TEXT, problem)
        columns = columns | {name: _readable(columns[name]) for name in texts}
    absent = {name: pa.nulls(len(numbers), pa.string()) for name in COLUMNS if name not in columns}
    raw = pa.nulls(len(numbers), pa.string())
    return pa.table({"row": numbers, "problem": problem, "raw": raw} | columns | absent)


def _unread(rows: list[tuple[int, str]], problem: str) -> pa.Table:
    numbers, texts = zip(*rows, strict=True)
    nothing = {name: pa.nulls(len(rows), pa.string()) for name in COLUMNS}
    return pa.table(
        {"row": pa.array(numbers, pa.int64()), "problem": [problem] * len(rows), "raw": texts}
        | nothing
    )


def _bad_text(columns: list[pa.Array]) -> np.ndarray:
    """Mark the rows in which any column is not UTF-8."""
    bad = np.zeros(len(columns[0]), bool)
    for column in columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            values = column.cast(pa.binary()).to_pylist()
            bad |= np.fromiter((not _is_text(value) for value in values), bool, len(values))
    return bad


def _is_text(value: bytes | None) -> bool:
    try:
        return value is None or bool(value.decode() or True)
    except UnicodeDecodeError:
        return False


def _readable(column: pa.Array) -> pa.Array:
    values = column.cast(pa.binary()).to_pylist()
    return pa.array([v if v is None else v.decode("utf-8", "replace") for v in values], pa.string())


def _share(file: SourceFile, stored: pa.NativeFile) -> float:
    return stored.tell() / file.size
