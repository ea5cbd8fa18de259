"""A feed: admitted actions, refused rows and their count, written together or not at all."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.activity.config import ActionKind, Vertical
from components.activity.quarantine import DUPLICATE
from components.activity.schema import ACTION_SCHEMA, QUARANTINE_SCHEMA, ActivityError
from components.files import whole_directory

ACTIONS = "actions"
QUARANTINE = "quarantine"
SUMMARY = "ingest.json"
ROWS_PER_PART = 1 << 21


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSummary:
    """What a source gave.

    Attributes:
        actions: rows admitted.
        quarantined: rows refused, duplicates not counted.
        duplicates: rows dropped because an equal one came before.
        reasons: refused and duplicate rows by reason.
        out_of_order: admitted rows earlier than the row before them in their file.
        shortened: admitted rows with a text cut to `quarantine.LONGEST_TEXT` characters.
        first_ts: earliest action, microseconds UTC.
        last_ts: latest action, microseconds UTC.
    """

    actions: int
    quarantined: int
    duplicates: int
    reasons: dict[str, int]
    out_of_order: int
    shortened: int
    first_ts: int
    last_ts: int

    @classmethod
    def load(cls, feed: Path) -> Self:
        """Read the summary of a written feed; what a source does not count is 0."""
        written = json.loads((feed / SUMMARY).read_text())
        return cls(**{field.name: written.get(field.name, 0) for field in fields(cls)})


class PartWriter:
    """Writes tables of one schema as the numbered Parquet files of a directory, at least one."""

    def __init__(self, folder: Path, schema: pa.Schema):
        folder.mkdir()
        self._folder, self._schema = folder, schema
        self._parts = self._rows = 0
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        """Append rows; a file that is long enough is closed and the next begun."""
        if self._writer is None:
            path = self._folder / f"part-{self._parts:05d}.parquet"
            self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
            self._parts += 1
            self._rows = 0
        self._writer.write_table(table)
        self._rows += len(table)
        if self._rows >= ROWS_PER_PART:
            self._end_part()

    def close(self) -> None:
        """Finish the last file."""
        if self._parts == 0:
            self.write(self._schema.empty_table())
        self._end_part()

    def _end_part(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None


class Feed:
    """A feed while it is written."""

    def __init__(self, folder: Path, *, quarantine_limit: float):
        self.folder = folder
        self._limit = quarantine_limit
        self._actions = PartWriter(folder / ACTIONS, ACTION_SCHEMA)
        self._quarantine = PartWriter(folder / QUARANTINE, QUARANTINE_SCHEMA)
        self._beside: dict[str, PartWriter] = {}
        self._admitted = self._out_of_order = self._shortened = self._rows_beside = 0
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._first: int | None = None
        self._last: int | None = None

    def admit(self, actions: pa.Table, *, out_of_order: int = 0, shortened: int = 0) -> None:
        """Append actions (ACTION_SCHEMA) and count what is remarkable about them."""
        if len(actions) == 0:
            return
        self._actions.write(actions)
        self._admitted += len(actions)
        self._out_of_order += out_of_order
        self._shortened += shortened
        span = pc.min_max(actions["ts"]).as_py()
        self._first = span["min"] if self._first is None else min(self._first, span["min"])
        self._last = span["max"] if self._last is None else max(self._last, span["max"])

    def write(self, name: str, rows: pa.Table) -> None:
        """Append rows of a table beside the actions; all of them have one schema."""
        if name not in self._beside:
            self._beside[name] = PartWriter(self.folder / name, rows.schema)
        if len(rows):
            self._beside[name].write(rows)
            self._rows_beside += len(rows)

    def refuse(self, rows: pa.Table) -> None:
        """Append rows (QUARANTINE_SCHEMA) to the quarantine."""
        if len(rows) == 0:
            return
        self._quarantine.write(rows)
        for entry in pc.value_counts(rows["reason"].combine_chunks()).to_pylist():
            reason = entry["values"]
            self._reasons[reason] += entry["counts"]
            if reason not in self._examples:
                first = rows.slice(pc.index(rows["reason"], reason).as_py(), 1).to_pylist()[0]
                self._examples[reason] = f"{first['file']}:{first['row']}: {_glimpse(first['raw'])}"

    def end_actions(self) -> Path:
        """Close the files of actions and return their directory; duplicates may now be dropped."""
        self._actions.close()
        return self.folder / ACTIONS

    def finish(self, nothing: str) -> IngestSummary:
        """Close the feed, once its actions are, and write its summary.

        Args:
            nothing: the message if there is not a single row.

        Raises:
            ActivityError: too many rows were refused, or nothing is left.
        """
        for writer in (self._quarantine, *self._beside.values()):
            writer.close()
        duplicates = self._reasons[DUPLICATE]
        refused = self._reasons.total() - duplicates
        seen = self._admitted + self._rows_beside + refused
        if seen == 0:
            raise ActivityError(nothing)
        if self._first is None or self._last is None or refused / seen > self._limit:
            raise ActivityError(self._refusal(refused, seen))
        summary = IngestSummary(
            actions=self._admitted - duplicates,
            quarantined=refused,
            duplicates=duplicates,
            reasons=dict(sorted(self._reasons.items())),
            out_of_order=self._out_of_order,
            shortened=self._shortened,
            first_ts=self._first,
            last_ts=self._last,
        )
        (self.folder / SUMMARY).write_text(json.dumps(asdict(summary), indent=2) + "\n")
        return summary

    def _refusal(self, refused: int, seen: int) -> str:
        worst, count = next(
            (reason, count) for reason, count in self._reasons.most_common() if reason != DUPLICATE
        )
        above = f", more than the {self._limit:.2%} that activity.quarantine_limit allows"
        return (
            f"{refused:,} of {seen:,} rows cannot be used{above if self._admitted else ''}; "
            f"most often ({count:,}): {worst}, first at {self._examples[worst]}"
        )


@contextmanager
def open_feed(target: Path, *, quarantine_limit: float) -> Iterator[Feed]:
    """Write a feed that takes the place of `target` when the block succeeds.

    Args:
        target: directory to create or replace.
        quarantine_limit: share of refused rows above which the feed is refused.
    """
    with whole_directory(target) as aside:
        yield Feed(aside, quarantine_limit=quarantine_limit)


def check_vertical(
    vertical: Vertical, source: str, actions: Mapping[str, ActionKind], channels: Iterable[str]
) -> None:
    """Make sure that a vertical has what a source writes.

    Raises:
        ActivityError: it lacks an action or a channel, or the action carries something else.
    """
    lacking = [
        f"vertical.actions: {name}: {kind}"
        for name, kind in actions.items()
        if vertical.actions.get(name) != kind
    ]
    lacking += [f"vertical.channels: {name}" for name in channels if name not in vertical.channels]
    if lacking:
        raise ActivityError(f"the {source} source needs {', '.join(lacking)}")


def _glimpse(raw: str | None, longest: int = 200) -> str:
    text = raw or ""
    return text if len(text) <= longest else text[:longest] + "..."
