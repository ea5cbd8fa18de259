"""What a ranker reads of a search; without tensorflow, so that it may run apart from the ranker."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.features.tables import FeatureTables
from components.ranking.errors import RankingError


class Described(NamedTuple):
    """A search and its L postings, as `Ranker.score` takes them.

    Attributes:
        query_words: int32[Wq].
        title_words: int32[L, Wt].
        company_words: int32[L, Wc].
        continuous: float32[L, C].
        categorical: int32[L, K].
    """

    query_words: NDArray[np.int32]
    title_words: NDArray[np.int32]
    company_words: NDArray[np.int32]
    continuous: NDArray[np.float32]
    categorical: NDArray[np.int32]


class SearchDescriber:
    """Feature tables that describe the requests of one ranker.

    Args:
        tables: as of now.
        about: what the ranker's `ranker.json` says.

    Raises:
        RankingError: the ranker reads other features.
    """

    def __init__(self, tables: FeatureTables, about: Mapping[str, Any]):
        named = ("continuous", tables.continuous), ("categorical", tables.categorical)
        for key, own in named:
            if [tuple(c) if isinstance(c, list) else c for c in about[key]] != own:
                raise RankingError(
                    f"the feature tables' {key} features are not those the ranker was trained on"
                )
        self._tables, self._widths = tables, about["widths"]
        self._titles = tables.title_texts, tables.title_codes
        self._companies = tables.company_texts, tables.company_codes

    def describe(
        self,
        query: str | None,
        item_ids: Sequence[str],
        *,
        member: str | None = None,
        ts: int | None = None,
    ) -> Described:
        """Describe one search; arguments as of `SearchRanker.score`."""
        tables, widths = self._tables, self._widths
        postings = tables.posting_rows(list(item_ids))
        members = np.repeat(tables.member_rows([member or ""]), len(postings))
        when = np.full(len(postings), tables.as_of if ts is None else ts)
        codes = np.zeros(len(postings), np.int64)
        searched = ([], codes - 1) if query is None else ([query], codes)
        features = tables.pairs(members, postings, searched, when)
        return Described(
            tables.words.encode([query or ""], widths["query"])[0],
            self._words(*self._titles, postings, widths["title"]),
            self._words(*self._companies, postings, widths["company"]),
            features.continuous,
            features.categorical,
        )

    def _words(
        self, texts: pa.Array, codes: NDArray[np.int32], postings: NDArray[np.int64], width: int
    ) -> NDArray[np.int32]:
        of_posting = [int(codes[row]) if row >= 0 else 0 for row in postings]
        return self._tables.words.encode([texts[code].as_py() for code in of_posting], width)
