"""Impressions of news as arrays: what was shown, what was clicked, and what was read before.

`prepare_impressions` streams a feed's impressions into memory-mapped arrays: candidates of all
impressions lie one behind the other, and equal histories are one.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.files import whole_directory
from components.news.errors import NewsError
from components.text.ragged import ragged_positions
from components.text.shards import ArrayFile

FOLDERS = ("impressions", "unlabelled")
"""Where a feed keeps the impressions whose outcome is known, and those whose is not."""
FOLDS = ("train", "dev", "test")
ROWS_AT_ONCE = 1 << 16

_ARRAYS: dict[str, type[np.signedinteger]] = {"items.npy": np.int32, "clicked.npy": np.int8}
_COLUMNS = ["impression_id", "ts", "fold", "item_ids", "outcomes", "history"]

logger = logging.getLogger(__name__)


class Impressions(NamedTuple):
    """n impressions of m candidates, memory-mapped.

    Attributes:
        ids: int64[n], numbers that the source gives them within their fold.
        ts: int64[n], microseconds UTC.
        fold: int8[n], place in FOLDS.
        offsets: int64[n + 1], into the candidates.
        items: int32[m], row of each candidate in the feed's postings; one past the last where the
            feed does not have it.
        clicked: int8[m].
        history: int32[n], row in `histories`; one past the last for a member without any.
        histories: int32[h, .], distinct histories: rows of postings, oldest first, -1 before the
            first; each has one at least.
    """

    ids: NDArray[np.int64]
    ts: NDArray[np.int64]
    fold: NDArray[np.int8]
    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    clicked: NDArray[np.int8]
    history: NDArray[np.int32]
    histories: NDArray[np.int32]

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Map what `prepare_impressions` wrote.

        Raises:
            NewsError: a file is missing or damaged; names it.
        """
        try:
            return cls(*(np.load(directory / f"{name}.npy", mmap_mode="r") for name in cls._fields))
        except (OSError, ValueError, EOFError) as error:
            raise NewsError(f"{directory}: not readable as impressions: {error}") from error

    def select(self, fold: str) -> NDArray[np.int64]:
        """Return the rows of a fold in the order of their numbers, which is that of its file."""
        rows = np.flatnonzero(self.fold == FOLDS.index(fold))
        return rows[np.argsort(self.ids[rows], kind="stable")]

    def positions(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the candidates of some impressions lie, int64[m], and their offsets."""
        starts = self.offsets[rows]
        sizes = self.offsets[rows + 1] - starts
        return ragged_positions(starts, sizes), np.append(0, np.cumsum(sizes))


def has_news(feed: Path) -> bool:
    """Whether a feed tells of each impression what its member had read before."""
    parts = sorted((feed / FOLDERS[0]).glob("*.parquet"))
    return bool(parts) and {"history", "fold"} <= set(pq.read_schema(parts[0]).names)


def read_items(feed: Path) -> pa.Table:
    """Return item_id and title (the sentence: category, subcategory, title, abstract) of all news.

    Raises:
        NewsError: the feed's postings are missing or damaged.
    """
    try:
        return pq.read_table(feed / "postings", columns=["item_id", "title"]).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise NewsError(f"{feed / 'postings'}: no readable news items: {error}") from error


def prepare_impressions(feed: Path, items: pa.Table, target: Path, *, history: int) -> None:
    """Write the arrays of `Impressions`, all or nothing.

    Args:
        feed: of news.
        items: its postings, see `read_items`.
        target: directory to write.
        history: most recent clicks of a history that are kept; items that the feed does not have
            are left out before they are counted.

    Raises:
        NewsError: an unknown fold, candidates and outcomes that do not agree, or a damaged file;
            names it.
    """
    known = items["item_id"].combine_chunks()
    facts: dict[str, list[NDArray]] = {name: [] for name in ("ids", "ts", "fold", "sizes")}
    before = []
    with whole_directory(target) as directory, ExitStack() as open_files:
        out = {
            name: open_files.enter_context(ArrayFile(directory / name, dtype))
            for name, dtype in _ARRAYS.items()
        }
        for part, batch in _batches(feed):
            shown, outcomes = batch.column("item_ids"), batch.column("outcomes")
            sizes = pc.list_value_length(shown).to_numpy()
            if not np.array_equal(sizes, pc.list_value_length(outcomes).to_numpy()):
                raise NewsError(f"{part}: item_ids and outcomes of an impression differ in length")
            found = pc.index_in(shown.flatten(), value_set=known).fill_null(len(known))
            out["items.npy"].append(found.to_numpy())
            clicked = pc.not_equal(outcomes.flatten(), "")
            out["clicked.npy"].append(clicked.to_numpy(zero_copy_only=False))
            facts["ids"].append(batch.column("impression_id").to_numpy())
            facts["ts"].append(batch.column("ts").to_numpy())
            facts["fold"].append(_folds(part, batch.column("fold")))
            facts["sizes"].append(sizes)
            before.append(_last(batch.column("history"), known, history))
        if not before:
            raise NewsError(f"{feed}: no impression")
        arrays = {name: np.concatenate(parts) for name, parts in facts.items()}
        arrays["offsets"] = np.append(0, np.cumsum(arrays.pop("sizes"), dtype=np.int64))
        distinct, row = np.unique(np.concatenate(before), axis=0, return_inverse=True)
        # Sorted, a history of no clicks comes first.
        without = int(len(distinct) > 0 and distinct[0, -1] < 0)
        arrays["histories"] = distinct[without:]
        arrays["history"] = np.where(row < without, len(distinct) - without, row - without).astype(
            np.int32
        )
        for name, array in arrays.items():
            np.save(directory / f"{name}.npy", array)
    logger.info("impressions=%d histories=%d", len(row), len(distinct))


def _batches(feed: Path) -> Iterator[tuple[Path, pa.RecordBatch]]:
    for part in (part for name in FOLDERS for part in sorted((feed / name).glob("*.parquet"))):
        try:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=_COLUMNS):
                    yield part, batch
        except (OSError, pa.ArrowException) as error:
            raise NewsError(f"{part}: not readable as impressions: {error}") from error


def _folds(part: Path, column: pa.Array) -> NDArray[np.int8]:
    folds = pc.index_in(column, value_set=pa.array(FOLDS))
    if folds.null_count:
        unknown = column.filter(folds.is_null())[0].as_py()
        raise NewsError(f"{part}: fold {unknown!r} is not one of {', '.join(FOLDS)}")
    return folds.to_numpy().astype(np.int8)


def _last(lists: pa.ListArray, known: pa.Array, count: int) -> NDArray[np.int32]:
    """Return the last known items of each list, int32[n, count], -1 before the first."""
    owner = pc.list_parent_indices(lists).to_numpy()
    rows = pc.index_in(lists.flatten(), value_set=known).fill_null(-1).to_numpy()
    owner, rows = owner[rows >= 0], rows[rows >= 0]
    sizes = np.bincount(owner, minlength=len(lists))
    from_end = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(rows))
    kept = from_end <= count
    last = np.full((len(lists), count), -1, np.int32)
    last[owner[kept], count - from_end[kept]] = rows[kept]
    return last
