"""What the marketplace's search engine finds for any text, and what the text promises a member."""

import numpy as np
from numpy.typing import NDArray

from components.marketplace.population import Population
from components.marketplace.queries import RELATED_RESULTS, RESULTS
from components.marketplace.response import relevance
from components.marketplace.tables import EXTRAS
from components.marketplace.truth import entity_texts

NOTHING = -1


class SearchEngine:
    """Finds postings for queries, and for entities ("c_company title") by name.

    Args:
        population: whose members search.

    Attributes:
        entities: posting by the text of its entity.
    """

    def __init__(self, population: Population):
        self._population, catalogue = population, population.catalogue
        self._queries = {text: row for row, text in enumerate(catalogue.queries.texts)}
        self.entities = {text: row for row, text in enumerate(entity_texts(catalogue))}
        self._extras = frozenset(EXTRAS)

    def find(self, texts: list[str]) -> NDArray[np.int64]:
        """Return int64[n, RESULTS], postings best first; a row of NOTHING for unknown words."""
        number = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        distinct = np.stack([self._found(text) for text in number]) if number else np.empty(0)
        rows = np.array([number[text] for text in texts], np.int64)
        return distinct.reshape(-1, RESULTS).astype(np.int64)[rows]

    def promise(self, texts: list[str], member: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return float32[n], how well the words fit each member's latest goal, as `relevance`.

        Words are as good as what they stand for: an entity as its posting, a query as the first of
        its results; words that nobody understands are as bad as a posting can be.
        """
        found = self.find(texts)
        first = found[:, :RELATED_RESULTS]
        named = np.array([text in self.entities for text in texts], bool)
        first[named] = first[named, :1]
        members = self._population.members
        who = np.repeat(member, first.shape[1])
        fit = relevance(
            self._population.catalogue,
            members,
            member=who,
            goal=members.goals[who] - 1,
            posting=first.ravel(),
        ).reshape(first.shape)
        return np.where(found[:, 0] == NOTHING, np.float32(-1), fit.mean(1))

    def _found(self, text: str) -> NDArray[np.int64]:
        catalogue = self._population.catalogue
        query = self._query(text)
        if query is not None:
            return catalogue.queries.results[query].astype(np.int64)
        posting = self.entities.get(text)
        if posting is None:
            return np.full(RESULTS, NOTHING)
        offered = catalogue.postings
        kind = (own[posting] for own in (offered.occupation, offered.speciality, offered.level))
        alike = catalogue.ranked[*kind].astype(np.int64)
        return np.append(posting, alike[alike != posting])[:RESULTS]

    def _query(self, text: str) -> int | None:
        words = text.split()
        for extra in (0, 1, 2):
            base, more = words[: len(words) - extra], words[len(words) - extra :]
            if not extra or " ".join(more) in self._extras:
                found = self._queries.get(" ".join(base))
                if found is not None:
                    return found
        return None
