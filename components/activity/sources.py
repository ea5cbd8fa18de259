"""Actions that the user brings as files."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.activity.beside import read_beside
from components.activity.config import FilesConfig, Vertical
from components.activity.duplicates import drop_duplicates
from components.activity.engine import ahead, open_engine
from components.activity.feed import IngestSummary, open_feed
from components.activity.locate import SourceFile, find_files
from components.activity.quarantine import DUPLICATE, Judge
from components.activity.readers import FIRST_ROW, read_blocks
from components.activity.schema import QUARANTINE_SCHEMA
from components.progress import progress

log = logging.getLogger(__name__)


def ingest_files(
    config: FilesConfig, vertical: Vertical, target: Path, *, quarantine_limit: float
) -> IngestSummary:
    """Write the feed of a set of Parquet, CSV or JSON-lines files.

    A feed is `actions/` (ACTION_SCHEMA, in input order), `quarantine/` (QUARANTINE_SCHEMA),
    `ingest.json` (IngestSummary) and those tables of `beside.BESIDE` that `config` names. Rows may
    come in any order; equal rows are admitted once. An action keeps the texts that its kind carries
    (`Vertical.actions`) and loses any other.

    Args:
        config: where the files are.
        vertical: which actions and channels exist.
        target: directory to create or replace; left as it was when the ingest fails.
        quarantine_limit: share of refused rows above which the files are refused.

    Raises:
        ActivityError: there are no files or no actions, a file is unreadable, or too many rows are
            refused.
    """
    files = find_files(config)
    reading, judging = open_engine(keep_order=True), open_engine(keep_order=True)
    judge = Judge(vertical, judging)
    places = _Places()
    with (
        open_feed(target, quarantine_limit=quarantine_limit) as feed,
        progress("Reading actions", total=sum(file.size for file in files)) as bar,
    ):
        for file in files:
            offset = places.begin(file)
            latest, consumed = None, 0.0
            blocks = ahead(read_blocks(file, reading))
            for block, verdict in ahead(judge.judge_all(blocks, file=file.name, offset=offset)):
                disorder, latest = _disorder(verdict.actions["ts"].to_numpy(), latest)
                feed.admit(verdict.actions, out_of_order=disorder, shortened=verdict.shortened)
                feed.refuse(verdict.refused)
                places.extend(block.rows["row"].to_numpy())
                bar.advance((block.consumed - consumed) * file.size)
                consumed = block.consumed
            if consumed == 0:
                log.warning("empty_file name=%s", file.name)
        for dropped in drop_duplicates(feed.end_actions()):
            feed.refuse(places.of_duplicates(dropped))
        read_beside(config, feed)
        return feed.finish(nothing=f"{config.path}: no actions; {files[0].name} has no rows")


class _Places:
    """Knows the file and row of every sequence number."""

    def __init__(self) -> None:
        self._files: list[SourceFile] = []
        self._begins: list[int] = []
        self._next = 0

    def begin(self, file: SourceFile) -> int:
        """Start a file; a row's sequence number is the returned offset plus its number."""
        self._files.append(file)
        self._begins.append(self._next)
        return self._next - FIRST_ROW[file.format]

    def extend(self, rows: np.ndarray) -> None:
        """Take note of rows of the current file."""
        if len(rows):
            last = self._begins[-1] - FIRST_ROW[self._files[-1].format] + int(rows.max())
            self._next = max(self._next, last + 1)

    def of_duplicates(self, dropped: pa.Table) -> pa.Table:
        """Turn dropped actions into rows of the quarantine."""
        sequence = dropped["sequence"].to_numpy()
        begins = np.array(self._begins)
        file = np.searchsorted(begins, sequence, side="right") - 1
        first = np.array([FIRST_ROW[file.format] for file in self._files])
        columns = {
            "file": pa.array([file.name for file in self._files]).take(pa.array(file)),
            "row": sequence - begins[file] + first[file],
            "reason": [DUPLICATE] * len(sequence),
            "raw": dropped["raw"],
        }
        return pa.table(columns).cast(QUARANTINE_SCHEMA)


def _disorder(ts: np.ndarray, before: int | None) -> tuple[int, int | None]:
    """Count the times below the time before them, and return the last."""
    if len(ts) == 0:
        return 0, before
    within = int(np.count_nonzero(ts[1:] < ts[:-1]))
    return within + int(before is not None and ts[0] < before), int(ts[-1])
