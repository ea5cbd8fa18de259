"""Ranking lists: pages that members were shown, what became of each posting, and its features.

Features and texts are worked out once, when the lists are made, through the same tables that answer
a request; so training reads arrays, and serving computes what was trained on.
"""

import json
import logging
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from components.features.errors import FeaturesError
from components.features.tables import FeatureTables, has_tables
from components.features.words import WordIds
from components.files import whole_directory
from components.labels.examples import SPLITS
from components.progress import progress
from components.ranking.config import ListsConfig
from components.ranking.errors import RankingError
from components.ranking.pages import Pages, read_pages

ABOUT, WORDS, PAGES = "about.json", "words.txt", "lists.parquet"
_LISTS_AT_ONCE = 8_192

logger = logging.getLogger(__name__)


def build_lists(
    feed: Path,
    features: Path,
    sessions: Path,
    examples: Path,
    target: Path,
    config: ListsConfig,
    *,
    seed: int,
) -> dict[str, int]:
    """Make one list per page that a member was shown in his target period, all or nothing.

    A member's period runs from the cut of his latest example to its end. A member without an
    example is cold: his lists have example -1 and are on the test side. A page's postings keep
    their order; one that is shown twice counts once, with its strongest outcome; one that is not in
    the catalogue is kept, with the features of an unknown posting. Pages without results are left
    out and counted. Lists of one posting, or without any gain, are kept.

    Args:
        feed: directory with `impressions`.
        features: tables built by `build_tables` with these examples; where they are empty, or no
            page is one of those wanted, nothing is written into the directory.
        sessions: directory of session parts.
        examples: directory written by `build_examples`.
        target: directory to write.
        config: which pages, which gains.
        seed: of the draw where a member has more pages than are kept.

    Returns:
        Counts: "lists", "documents", and what was left out or unknown.

    Raises:
        FeaturesError: a file of the feed or of the tables is damaged; names it.
    """
    with whole_directory(target) as directory:
        if not has_tables(features):
            return {"lists": 0, "documents": 0}
        tables = FeatureTables.open(features)
        pages = read_pages(feed, sessions, examples, config, seed=seed)
        if not len(pages):
            channels = ", ".join(config.channels)
            logger.warning(
                "no page of lists.channels=%s follows a member's cut: no lists", channels
            )
            return {"lists": 0, "documents": 0}
        counts = _write(directory, tables, pages, config)
    logger.info("ranking lists=%d documents=%d", counts["lists"], counts["documents"])
    return counts


class Lists:
    """Lists written by `build_lists`: n of them with m postings, arrays mapped into memory.

    Attributes:
        about: `continuous` names, `categorical` [name, number of codes], `widths`, counts.
        words: by id.
        offsets: int64[n + 1] into the postings.
        gains: float32[m].
        continuous: float32[m, C].
        categorical: int32[m, K].
        query: int32[n], row of `queries`.
        title: int32[m], row of `titles`.
        company: int32[m], row of `companies`.
        queries: int32[Q, .], word ids, 0 after the last; titles and companies likewise.
        example: int32[n], row of the member's example and vector; -1 for a member without one.
        split: int8[n], 0 training, 1 validation, 2 test.
        frequency: int64[n], how often training members had searched for the query.
    """

    offsets: NDArray[np.int64]
    gains: NDArray[np.float32]
    continuous: NDArray[np.float32]
    categorical: NDArray[np.int32]
    query: NDArray[np.int32]
    title: NDArray[np.int32]
    company: NDArray[np.int32]
    queries: NDArray[np.int32]
    titles: NDArray[np.int32]
    companies: NDArray[np.int32]
    example: NDArray[np.int32]
    split: NDArray[np.int8]
    frequency: NDArray[np.int64]

    def __init__(self, directory: Path):
        self._directory = directory
        self.about: dict[str, Any] = _read_about(directory)
        try:
            self.words = WordIds.open(directory / WORDS).words
        except FeaturesError as error:
            raise RankingError(str(error)) from error
        for name, (kind, shape) in _shapes(self.about).items():
            setattr(self, name, _read_array(directory / f"{name}.npy", kind, shape))
        self._check_contents()

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open lists.

        Raises:
            RankingError: a file is missing or damaged, or the files do not belong together; names
                the file.
        """
        return cls(directory)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def select(self, split: str) -> NDArray[np.int64]:
        """Return the numbers of the lists of "train", "validation" or "test".

        Raises:
            RankingError: no such split.
        """
        if split not in SPLITS:
            raise RankingError(f"no split {split!r}: splits are {', '.join(SPLITS)}")
        return np.flatnonzero(self.split == SPLITS[split])

    def pages(self) -> pa.Table:
        """Read member_id, ts, query and item_ids of each list.

        Raises:
            RankingError: the file is missing or damaged.
        """
        path = self._directory / PAGES
        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise RankingError(f"{path}: missing or damaged: {error}") from error

    def _check_contents(self) -> None:
        offsets, documents = self.offsets, len(self.gains)
        if offsets[0] != 0 or offsets[-1] != documents or (np.diff(offsets) < 1).any():
            raise RankingError(f"{self._directory}/offsets.npy: does not cut {documents} documents")
        for name, texts in (("query", "queries"), ("title", "titles"), ("company", "companies")):
            rows, table = getattr(self, name), getattr(self, texts)
            if len(rows) and not 0 <= rows.min() <= rows.max() < len(table):
                raise RankingError(
                    f"{self._directory}/{name}.npy: names a row that {texts}.npy does not have"
                )
            if table.size and not 0 <= table.min() <= table.max() < len(self.words):
                raise RankingError(
                    f"{self._directory}/{texts}.npy: names a word that {WORDS} does not have"
                )


def _write(
    directory: Path, tables: FeatureTables, pages: Pages, config: ListsConfig
) -> dict[str, int]:
    posting_of = tables.posting_rows(pages.item_ids) if pages.item_ids else np.zeros(0, np.int64)
    posting = posting_of[pages.items]
    known = np.maximum(posting, 0)
    texts = ["", *sorted({query for query in pages.queries if query is not None})]
    number = {text: row for row, text in enumerate(texts)}
    query = np.array([-1 if text is None else number[text] for text in pages.queries], np.int32)
    widths = {
        "query": config.query_words,
        "title": config.title_words,
        "company": config.company_words,
    }
    arrays: dict[str, NDArray[Any]] = {
        "offsets": pages.offsets,
        "gains": pages.gains,
        "query": np.maximum(query, 0),
        "title": _codes(tables.title_codes, known, posting),
        "company": _codes(tables.company_codes, known, posting),
        "queries": tables.words.encode(texts, widths["query"]),
        "titles": tables.words.encode(tables.title_texts.to_pylist(), widths["title"]),
        "companies": tables.words.encode(tables.company_texts.to_pylist(), widths["company"]),
        "example": pages.example,
        "split": pages.split,
        "frequency": np.where(query < 0, 0, tables.searches(texts)[np.maximum(query, 0)]),
    }
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)
    _write_features(directory, tables, pages, posting, (texts, query))
    tables.words.save(directory / WORDS)
    _write_pages(directory / PAGES, pages)
    lengths = np.diff(pages.offsets)
    with_gain = np.add.reduceat(pages.gains, pages.offsets[:-1]) > 0 if len(pages) else lengths > 0
    counts = {
        "lists": len(pages),
        "documents": len(posting),
        "unknown postings": int((posting < 0).sum()),
        "lists of one posting": int((lengths == 1).sum()),
        "lists without a gain": int(len(pages) - with_gain.sum()),
        "lists of members without an example": int((pages.example < 0).sum()),
    }
    about = {
        "continuous": tables.continuous,
        "categorical": tables.categorical,
        "widths": widths,
        **counts,
        "dropped": pages.dropped,
    }
    (directory / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    return counts | pages.dropped


def _codes(
    codes: NDArray[np.int32], known: NDArray[np.int64], posting: NDArray[np.int64]
) -> NDArray[np.int32]:
    if not len(codes):
        return np.zeros(len(posting), np.int32)
    return np.where(posting < 0, 0, codes[known]).astype(np.int32)


def _write_features(
    directory: Path,
    tables: FeatureTables,
    pages: Pages,
    posting: NDArray[np.int64],
    queries: tuple[list[str], NDArray[np.int32]],
) -> None:
    texts, query = queries
    members = tables.member_rows(pa.array(pages.member_ids, pa.string()))
    kinds = {"continuous": np.float32, "categorical": np.int32}
    outputs = {
        name: open_memmap(
            directory / f"{name}.npy",
            mode="w+",
            dtype=kind,
            shape=(len(posting), len(getattr(tables, name))),
        )
        for name, kind in kinds.items()
    }
    with progress("features of lists", total=len(pages)) as bar:
        for start in range(0, len(pages), _LISTS_AT_ONCE):
            end = min(start + _LISTS_AT_ONCE, len(pages))
            sizes = np.diff(pages.offsets[start : end + 1])
            rows = slice(pages.offsets[start], pages.offsets[end])
            # Only the queries of these pages: reading all of them each time would take longest.
            used, code = np.unique(query[start:end], return_inverse=True)
            code = np.where(used[code] < 0, -1, code - np.count_nonzero(used < 0))
            found = tables.pairs(
                np.repeat(members[start:end], sizes),
                posting[rows],
                ([texts[row] for row in used.tolist() if row >= 0], np.repeat(code, sizes)),
                np.repeat(pages.ts[start:end], sizes),
            )
            for name, output in outputs.items():
                output[rows] = getattr(found, name)
            bar.advance(end - start)
    for output in outputs.values():
        output.flush()


def _write_pages(path: Path, pages: Pages) -> None:
    names = pa.array(pages.item_ids, pa.string())
    items = names.take(pa.array(pages.items)) if len(names) else names
    table = {
        "member_id": pa.array(pages.member_ids, pa.string()),
        "ts": pages.ts,
        "query": pa.array(pages.queries, pa.string()),
        "item_ids": pa.LargeListArray.from_arrays(pa.array(pages.offsets), items),
    }
    pq.write_table(pa.table(table), path, compression="zstd")


def _shapes(about: dict[str, Any]) -> dict[str, tuple[type, tuple[int | None, ...]]]:
    """Type and shape of every array; None for as many rows as there are texts."""
    lists, documents, widths = about["lists"], about["documents"], about["widths"]
    return {
        "offsets": (np.int64, (lists + 1,)),
        "gains": (np.float32, (documents,)),
        "continuous": (np.float32, (documents, len(about["continuous"]))),
        "categorical": (np.int32, (documents, len(about["categorical"]))),
        "query": (np.int32, (lists,)),
        "title": (np.int32, (documents,)),
        "company": (np.int32, (documents,)),
        "queries": (np.int32, (None, widths["query"])),
        "titles": (np.int32, (None, widths["title"])),
        "companies": (np.int32, (None, widths["company"])),
        "example": (np.int32, (lists,)),
        "split": (np.int8, (lists,)),
        "frequency": (np.int64, (lists,)),
    }


def _read_about(directory: Path) -> dict[str, Any]:
    path = directory / ABOUT
    try:
        about = json.loads(path.read_text())
        _shapes(about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RankingError(f"{path}: missing or damaged: {error!r}") from error
    return about


def _read_array(path: Path, kind: type, shape: tuple[int | None, ...]) -> NDArray[Any]:
    try:
        # What holds nothing cannot be mapped.
        array = np.load(path, mmap_mode=None if 0 in shape else "r")
    except (OSError, ValueError, EOFError) as error:
        raise RankingError(f"{path}: missing or damaged: {error}") from error
    wanted = tuple(
        own if size is None else size for own, size in zip(array.shape, shape, strict=False)
    )
    if array.dtype != kind or array.shape != wanted or array.ndim != len(shape):
        raise RankingError(
            f"{path}: is {array.dtype}{list(array.shape)}, but {ABOUT} says "
            f"{np.dtype(kind)}{['any' if size is None else size for size in shape]}"
        )
    return array
