"""Feature tables: built once from a feed, opened wherever a member and postings must be compared.

Training builds them with examples, as of each member's cut; serving without, as of the last event.
Everything after that is the same code on the same files.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
from numpy.typing import NDArray

from components.activity.engine import open_engine
from components.features.arrays import Arrays
from components.features.behaviour import impression_files
from components.features.building import Built, Known, Sources, build_arrays
from components.features.categories import Categories
from components.features.config import FeaturesConfig
from components.features.errors import FeaturesError
from components.features.groups import GROUPS
from components.features.pairs import Counted, Pairs, taken_rows
from components.features.queries import QueryReader
from components.features.rates import DAY
from components.features.specification import CATEGORICAL_NAMES, CONTINUOUS_NAMES
from components.features.words import WordIds
from components.files import whole_directory

ABOUT, WORDS = "about.json", "words.txt"
_AT_ONCE = 1 << 16

logger = logging.getLogger(__name__)

QueryColumn = Sequence[str | None] | tuple[Sequence[str], NDArray[np.integer]]


def build_tables(
    feed: Path,
    sessions: Path,
    target: Path,
    config: FeaturesConfig,
    *,
    examples: Path | None,
    like: Path | None = None,
) -> None:
    """Count behaviour into feature tables, all or nothing; see `behaviour` for what is counted.

    A feed without pages shown (`impressions`) gives an empty directory. Profiles, postings and any
    of their columns but the ids may be missing: what they would say is unknown then.

    Args:
        feed: directory with `impressions`, and where there are some `postings` and `profiles`.
        sessions: directory of session parts.
        target: directory to write.
        config: smoothing, memory and vocabulary.
        examples: directory written by `build_examples`: each member's rows count before the cut of
            his latest example only, and rates are those of training members. None: everything
            counts.
        like: tables that a model was trained on, whose ids of words and codes of categories these
            are to have, so that the model can read them.

    Raises:
        FeaturesError: a table of the feed, examples or tables `like` are damaged; names the file.
        ActivityError: a session part is damaged; names the file.
    """
    impressions = impression_files(feed)
    cuts = None if examples is None else examples / "examples.parquet"
    with whole_directory(target) as directory:
        if not impressions:
            return
        with open_engine() as engine:
            sources = Sources(feed, sessions, impressions, cuts)
            built = build_arrays(engine, sources, directory, config, _known(like))
        _write_about(directory, built, config)
    logger.info(
        "features postings=%d members=%d queries=%d",
        len(built.catalogue.item_ids),
        len(built.vocabulary.member_ids),
        len(built.vocabulary.queries),
    )


def has_tables(directory: Path) -> bool:
    """Whether there are tables, rather than the empty directory of a feed without pages shown."""
    return (directory / ABOUT).is_file()


class Features(NamedTuple):
    """Features of n pairs.

    Attributes:
        continuous: float32[n, C], finite.
        categorical: int32[n, K], 0 for unknown or unseen.
    """

    continuous: NDArray[np.float32]
    categorical: NDArray[np.int32]


class FeatureTables:
    """Feature tables opened from disk.

    Attributes:
        continuous: names of the continuous features.
        categorical: name and number of codes of each categorical feature.
        words: ids of the words of queries, titles and companies.
        as_of: microseconds UTC of the latest row that was counted.
        title_codes: int32, code of each posting's title; company_codes likewise.
    """

    def __init__(self, directory: Path):
        about = _read_about(directory)
        self.continuous: list[str] = about["continuous"]
        self.categorical: list[tuple[str, int]] = [
            (name, size) for name, size in about["categorical"]
        ]
        self.words = WordIds.open(directory / WORDS)
        if len(self.words) != about["words"]:
            raise FeaturesError(
                f"{directory / WORDS}: has {len(self.words)} words, {about['words']} were written"
            )
        self.as_of: int = about["as_of"]
        self._directory = directory
        arrays = Arrays(directory)
        self._arrays = arrays
        self.title_codes: NDArray[np.int32] = arrays["posting.title"]
        self.company_codes: NDArray[np.int32] = arrays["posting.company"]
        self._queries = QueryReader(arrays, self.words, about["places"])
        self._counted = Counted(arrays, about["config"]["smoothing"])
        self._members, self._items = arrays.index("member_index"), arrays.index("item_index")

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open what `build_tables` wrote.

        Raises:
            FeaturesError: a file is missing or damaged, or of other features; names it.
        """
        return cls(directory)

    @property
    def item_ids(self) -> pa.Array:
        """Ids of the postings, by row."""
        return self._column("postings.arrow", "item_id")

    @property
    def titles(self) -> pa.Array:
        """Titles of the postings as employers write them, by row."""
        return self._column("postings.arrow", "title")

    @property
    def companies(self) -> pa.Array:
        """Companies of the postings as employers write them, by row."""
        return self._column("postings.arrow", "company")

    @property
    def member_ids(self) -> pa.Array:
        """Ids of the members, by row."""
        return self._column("members.arrow", "member_id")

    @property
    def title_texts(self) -> pa.Array:
        """Normalised titles by code, "" first."""
        return self._column("titles.arrow", "text")

    @property
    def company_texts(self) -> pa.Array:
        """Normalised companies by code, "" first."""
        return self._column("companies.arrow", "text")

    def member_rows(self, ids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
        """Return int64 rows of members, -1 for unknown ones."""
        return self._members.find(ids)

    def posting_rows(self, item_ids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
        """Return int64 rows of postings, -1 for unknown ones."""
        return self._items.find(item_ids)

    def searches(self, queries: Sequence[str]) -> NDArray[np.int64]:
        """Return int64, how often training members searched for exactly these queries."""
        return self._queries.searches(queries)

    def pairs(
        self,
        members: NDArray[np.integer],
        postings: NDArray[np.integer],
        queries: QueryColumn,
        ts: NDArray[np.integer],
    ) -> Features:
        """Compute the features of pairs; a pair's do not depend on which others are asked for.

        Args:
            members: int[n], rows of members, -1 for an unknown one.
            postings: int[n], rows of postings, -1 for an unknown one.
            queries: n texts, None where there is no query; or distinct texts and int[n] codes into
                them, -1 for no query.
            ts: int[n], microseconds UTC.

        Returns:
            Continuous and categorical features in the order of `continuous` and `categorical`.
        """
        texts, query = _coded(queries)
        read = self._queries.read(texts)
        member, posting, when = (np.asarray(own, np.int64) for own in (members, postings, ts))
        rows = len(member)
        # A feature that is listed but not computed is not a number, and tests look for those.
        continuous = np.full((rows, len(self.continuous)), np.nan, np.float32)
        categorical = np.empty((rows, len(self.categorical)), np.int32)
        for start in range(0, rows, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            pairs = self._counted.join(member[part], posting[part], query[part], when[part], read)
            for group in GROUPS:
                for name, column in group(self._counted, pairs).items():
                    continuous[part, _PLACES[name]] = column
            categorical[part] = self._categories(pairs)
        return Features(continuous, categorical)

    def _categories(self, pairs: Pairs) -> NDArray[np.int32]:
        queries, arrays = pairs.queries, self._arrays
        of_query = np.stack(
            [
                taken_rows(arrays["category.place"][queries.place], pairs.query),
                taken_rows(queries.level, pairs.query),
                taken_rows(arrays["category.core"], pairs.codes["core"]),
            ],
            1,
        )
        when = np.stack(
            [pairs.ts % DAY // (DAY // 24) + 1, (pairs.ts // DAY + 3) % 7 + 1],  # 1970 began on Thu
            1,
        )
        return np.concatenate(
            [
                taken_rows(arrays["category.posting"], pairs.posting),
                of_query,
                taken_rows(arrays["category.member"], pairs.member),
                when,
            ],
            axis=1,
        ).astype(np.int32)

    def _column(self, file: str, name: str) -> pa.Array:
        path = self._directory / file
        try:
            column = feather.read_table(path, columns=[name], memory_map=True)[name]
        except (OSError, pa.ArrowException) as error:
            raise FeaturesError(f"{path}: missing or damaged: {error}") from error
        return column.combine_chunks()


_PLACES = {name: place for place, name in enumerate(CONTINUOUS_NAMES)}


def _coded(queries: QueryColumn) -> tuple[list[str], NDArray[np.int64]]:
    if isinstance(queries, tuple):
        return list(queries[0]), np.asarray(queries[1], np.int64)
    number: dict[str, int] = {}
    codes = [-1 if text is None else number.setdefault(text, len(number)) for text in queries]
    return list(number), np.array(codes, np.int64)


def _known(like: Path | None) -> Known | None:
    if like is None:
        return None
    categories = Categories(**_read_about(like)["categories"])
    return Known(WordIds.open(like / WORDS), categories)


def _write_about(directory: Path, built: Built, config: FeaturesConfig) -> None:
    catalogue, vocabulary = built.catalogue, built.vocabulary
    built.words.save(directory / WORDS)
    sizes = built.categories.sizes()
    postings = {
        "item_id": pa.array(catalogue.item_ids, pa.string()),
        "title": pa.array(catalogue.shown_title, pa.string()),
        "company": pa.array(catalogue.shown_company, pa.string()),
    }
    tables = {
        "postings": postings,
        "members": {"member_id": pa.array(vocabulary.member_ids, pa.string())},
        "titles": {"text": pa.array(catalogue.title.texts, pa.string())},
        "companies": {"text": pa.array(catalogue.company.texts, pa.string())},
    }
    for name, columns in tables.items():
        feather.write_feather(
            pa.table(columns), directory / f"{name}.arrow", compression="uncompressed"
        )
    about = {
        "continuous": CONTINUOUS_NAMES,
        "categorical": [(name, sizes[name]) for name in CATEGORICAL_NAMES],
        "categories": built.categories._asdict(),
        "as_of": built.as_of,
        "config": config.model_dump(),
        "places": vocabulary.places,
        "words": len(built.words),
    }
    (directory / ABOUT).write_text(json.dumps(about))


def _read_about(directory: Path) -> dict[str, Any]:
    path = directory / ABOUT
    try:
        about = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise FeaturesError(f"{path}: missing or damaged: {error}") from error
    named = about.get("continuous"), [name for name, _ in about.get("categorical", [])]
    if named != (CONTINUOUS_NAMES, CATEGORICAL_NAMES):
        raise FeaturesError(f"{path}: holds other features than this version computes")
    return about
