"""Ranking one search: a query, perhaps a member, and the postings that were found for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from components.features.tables import FeatureTables
from components.ranking.describe import SearchDescriber
from components.ranking.scorer import Ranker


class SearchRanker:
    """A trained ranker beside the feature tables that describe its requests.

    Attributes:
        tables: as of now.
        ranker: that was trained.
    """

    def __init__(self, tables: FeatureTables, ranker: Ranker):
        self.tables, self.ranker = tables, ranker
        self._describer = SearchDescriber(tables, ranker.about)

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
        described = self._describer.describe(query, item_ids, member=member, ts=ts)
        return self.ranker.score(*described, vector)
