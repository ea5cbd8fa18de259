"""The clauses of many members at once, source by source."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.candidates.attributes import Attributes
from components.candidates.clauses import Clauses, Evidence
from components.candidates.config import CandidatesConfig
from components.candidates.evidence import of_actions, of_entities, of_expanded, of_headlines
from components.candidates.expansion import expand
from components.candidates.postings import Postings
from components.candidates.trails import Applications
from components.features.index import TextIndex
from components.neighbours.index import Neighbours


class Gathering:
    """Members by number, and the catalogue that their clauses are about.

    Args:
        ids: of the members.
        attributes: of the postings.
        postings: the catalogue.
        config: how many clauses of which evidence.
        only: numbers of the members whose clauses are wanted; everybody's without.
    """

    def __init__(
        self,
        ids: Sequence[str],
        attributes: Attributes,
        postings: Postings,
        config: CandidatesConfig,
        *,
        only: NDArray[np.int64] | None = None,
    ):
        self._ids, self._config = ids, config
        self._attributes, self._postings = attributes, postings
        self._wanted = np.ones(len(ids) + 1, bool)
        if only is not None:
            self._wanted[:] = False
            self._wanted[only] = True
        self._wanted[-1] = False  # number -1 is nobody

    def behaviour(self, headlines: pa.Table, actions: pa.Table) -> Clauses:
        """Return what profiles and behaviour on the site say.

        Args:
            headlines: member_id and headline.
            actions: of `evidence.ACTIONS`.
        """
        number = TextIndex.of(self._ids).find(headlines["member_id"])
        return self._clauses(
            of_headlines(self._kept(number), headlines["headline"], self._attributes),
            of_actions(actions, self._attributes, self._postings, self._config),
        )

    def predicted(
        self,
        members: NDArray[np.int64],
        labels: NDArray[np.int32],
        scores: NDArray[np.float32],
        entities: Sequence[tuple[str, str]],
    ) -> Clauses:
        """Return what predicted entities say; see `evidence.of_entities`."""
        return self._clauses(
            of_entities(members, labels, scores, entities, self._attributes, self._postings)
        )

    def similar(self, index: Neighbours, applications: Applications) -> Clauses:
        """Return what the postings say to which members like each other applied.

        Args:
            index: of the members' vectors.
            applications: of which only those that are known yet.
        """
        rows = index.rows(self._ids)
        number = np.full(len(index), -1, np.int64)
        number[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        found = expand(
            index,
            rows[applications.member],
            self._postings.ids.find(applications.item_ids),
            self._config,
        )
        members = self._kept(number[found.rows])
        return self._clauses(
            of_expanded(members, found.postings, found.similarity, self._attributes, self._postings)
        )

    def _kept(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(self._wanted[members], members, -1)

    def _clauses(self, *evidence: Evidence) -> Clauses:
        return Clauses.of(evidence, len(self._ids), self._attributes, top=self._config.clauses)
