"""Ranking one search: a query, perhaps a member, and the postings that were found for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.features.tables import FeatureTables
from components.ranking.errors import RankingError
from components.ranking.scorer import Ranker


class SearchRanker:
    """A trained ranker beside the feature tables that describe its requests.

    Attributes:
        tables: as of now.
        ranker: that was trained.
    """

    def __init__(self, tables: FeatureTables, ranker: Ranker):
        named = ("continuous", tables.continuous), ("categorical", tables.categorical)
        for key, own in named:
            if [tuple(c) if isinstance(c, list) else c for c in ranker.about[key]] != own:
                raise RankingError(
                    f"the feature tables' {key} features are not those the ranker was trained on"
                )
        self.tables, self.ranker = tables, ranker
        self._titles = tables.title_texts, tables.title_codes
        self._companies = tables.company_texts, tables.company_codes

    @classmethod
    def open(cls, ranker: Path, features: Path, *, encoder: str | None = None) -> Self:
        """Open a ranker and feature tables.

        Args:
            ranker: directory written by `train_ranker`.
            features: directory written by `build_tables`.
            encoder: version of the encoder whose vectors will be given.

        Raises:
            RankingError: the ranker is damaged, or reads other features or another encoder's
                vectors.
            FeaturesError: the tables are damaged.
        """
        return cls(FeatureTables.open(features), Ranker.open(ranker, encoder=encoder))

    def score(
        self,
        query: str | None,
        item_ids: Sequence[str],
        *,
        member: str | None = None,
        vector: NDArray[np.float32] | None = None,
        ts: int | None = None,
    ) -> NDArray[np.float32]:
        """Score postings for one search.

        Args:
            query: its text; None for a page without one.
            item_ids: of the postings, any number from 1; one that is not in the catalogue is
                scored as an unknown posting.
            member: who searches; None for somebody unknown.
            vector: float32[d], his activity vector; None where there is none.
            ts: microseconds UTC of the search; that of the tables' last event when not given.

        Returns:
            float32[items]; higher ranks first.

        Raises:
            RankingError: no postings, or a vector of another length.
        """
        tables, widths = self.tables, self.ranker.about["widths"]
        postings = tables.posting_rows(list(item_ids))
        members = np.repeat(tables.member_rows([member or ""]), len(postings))
        when = np.full(len(postings), tables.as_of if ts is None else ts)
        codes = np.zeros(len(postings), np.int64)
        searched = ([], codes - 1) if query is None else ([query], codes)
        features = tables.pairs(members, postings, searched, when)
        return self.ranker.score(
            tables.words.encode([query or ""], widths["query"])[0],
            self._words(*self._titles, postings, widths["title"]),
            self._words(*self._companies, postings, widths["company"]),
            features.continuous,
            features.categorical,
            vector,
        )

    def _words(
        self, texts: pa.Array, codes: NDArray[np.int32], postings: NDArray[np.int64], width: int
    ) -> NDArray[np.int32]:
        of_posting = [int(codes[row]) if row >= 0 else 0 for row in postings]
        return self.tables.words.encode([texts[code].as_py() for code in of_posting], width)
