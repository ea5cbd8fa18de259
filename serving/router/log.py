"""The exposure log: one JSON line per answer, rotated and shipped into Parquet.

    exposures/current.jsonl               what nginx writes
    exposures/closed/NAME.jsonl           rotated, not yet shipped
    exposures/parquet/date=.../NAME.parquet   shipped; NAME is the moment of rotation
    exposures/bad/NAME.jsonl              rotated logs in which a line could not be read

A line is on disk before its answer has ended. A closed log is removed only once its Parquet file
is whole, and shipping it again makes the same file: a kill at any point loses and doubles nothing.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from components.experiments.errors import ExperimentsError
from components.experiments.exposures import (
    EXPOSURE_SCHEMA,
    Read,
    conform,
    read_lines,
    write_exposures,
)

logger = logging.getLogger(__name__)

SENT = "sent"
"""Folder of Parquet that was sent elsewhere; see `ship`."""

_MOST_ERRORS = 16 << 20


class ExposureLog:
    """The files below a router's `exposures` directory.

    Attributes:
        home: the directory.
        busy: held while files are read or moved.
        shipped: exposures shipped since the start.
        bad: lines that could not be read since the start.
    """

    def __init__(self, state: Path, *, every: float, size: int):
        """Take up what is there.

        Args:
            state: the router's state directory.
            every: seconds after which a log that holds anything is rotated.
            size: bytes from which it is rotated earlier.
        """
        self.home = state / "exposures"
        self._errors = state / "error.log"
        self._every, self._size = every, size
        self._rotated = time.monotonic()
        self.busy = threading.RLock()
        self.current = self.home / "current.jsonl"
        self.parquet = self.home / "parquet"
        self.shipped = self.bad = 0
        for folder in (self._closed, self._bad):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def due(self) -> bool:
        """Whether the log is old or long enough to be rotated."""
        size = _size(self.current)
        old = time.monotonic() - self._rotated >= self._every
        return size >= self._size or (old and size > 0)

    @property
    def unshipped(self) -> list[Path]:
        """Every log that is not in Parquet yet, the current one last."""
        closed = sorted([*self._closed.glob("*.jsonl"), *self.home.glob("closing-*.jsonl")])
        return [*closed, *([self.current] if self.current.exists() else [])]

    def rotate(self, reopen: Callable[[], None], held: Callable[[Path], bool]) -> Path | None:
        """Close the log, if it holds anything, and have nginx begin a new one.

        Args:
            reopen: has nginx open its logs anew.
            held: tells whether nginx still writes to a file.

        Returns:
            The closed log, to which nobody writes any more.
        """
        with self.busy:
            self._rotated = time.monotonic()
            if _size(self._errors) > _MOST_ERRORS:
                self._errors.replace(self._errors.with_suffix(".log.1"))
            if not _size(self.current):
                return None
            moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
            closing = self.home / f"closing-{moment}.jsonl"
            self.current.rename(closing)
            reopen()
            end = time.monotonic() + 10
            while held(closing):
                if time.monotonic() > end:  # A stuck worker: shipped when it has gone.
                    logger.warning("log still written to file=%s", closing)
                    return None
                time.sleep(0.01)
            return self._close(closing)

    def ship(self, held: Callable[[Path], bool]) -> int:
        """Ship every closed log.

        Args:
            held: tells whether nginx still writes to a file.

        Returns:
            How many exposures were shipped.
        """
        count = 0
        with self.busy:
            for closing in sorted(self.home.glob("closing-*.jsonl")):
                if not held(closing):
                    self._close(closing)
            for closed in sorted(self._closed.glob("*.jsonl")):
                count += self._ship(closed)
        self.shipped += count
        return count

    def recent(self, since: int, revisions: Collection[str]) -> pa.Table:
        """Read exposures of some revisions, those included that are not shipped yet.

        Args:
            since: UTC microseconds; older ones are left out.
            revisions: of experiments.
        """
        wanted = (pc.field("ts") >= since) & pc.field("revision").isin(sorted(revisions))
        first = datetime.fromtimestamp(since / 1e6, UTC).strftime("date=%Y-%m-%d")
        with self.busy:
            tables = [
                pq.read_table(file, schema=EXPOSURE_SCHEMA, filters=wanted, partitioning=None)
                for file in self._shipped
                if file.parent.name >= first
            ]
            unshipped = [read(path.read_bytes()).table.filter(wanted) for path in self.unshipped]
        return pa.concat_tables([EXPOSURE_SCHEMA.empty_table(), *tables, *unshipped])

    @property
    def _shipped(self) -> list[Path]:
        """Parquet files of every day, those too that were sent elsewhere (see `ship`)."""
        folders = (self.parquet, self.home / SENT)
        return sorted(file for folder in folders for file in folder.glob("date=*/*.parquet"))

    @property
    def _closed(self) -> Path:
        return self.home / "closed"

    @property
    def _bad(self) -> Path:
        return self.home / "bad"

    def _close(self, closing: Path) -> Path:
        return closing.rename(self._closed / closing.name.removeprefix("closing-"))

    def _ship(self, closed: Path) -> int:
        found = read(closed.read_bytes())
        day = datetime.strptime(closed.stem, "%Y%m%dT%H%M%S%fZ").strftime("date=%Y-%m-%d")
        write_exposures(found.table, self.parquet / day / f"{closed.stem}.parquet")
        if found.bad:
            self.bad += len(found.bad)
            number, reason = found.bad[0]
            logger.warning(
                "bad exposures file=%s count=%d line=%d reason=%r",
                closed.name, len(found.bad), number, reason,
            )  # fmt: skip
            shutil.move(closed, self._bad / closed.name)
        else:
            closed.unlink()
        return found.table.num_rows


def read(lines: bytes) -> Read:
    """Read whole lines of the log: fast, unless one of them is bad."""
    one_thread = pa.json.ReadOptions(use_threads=False)  # The cores are for requests.
    options = pa.json.ParseOptions(
        explicit_schema=EXPOSURE_SCHEMA, unexpected_field_behavior="ignore"
    )
    try:
        table = pa.json.read_json(pa.BufferReader(lines), one_thread, options)
        return Read(conform(table, EXPOSURE_SCHEMA, "exposures"), [])
    except (pa.ArrowInvalid, ExperimentsError):
        return read_lines(lines.splitlines())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
