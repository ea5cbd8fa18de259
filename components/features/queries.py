"""What distinct queries say, worked out once for all pairs that have them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.features.arrays import Arrays
from components.features.phrases import PhraseReader
from components.features.terms import Idf, TermSets, trigrams_of
from components.features.words import UNKNOWN, WordIds, words_of
from components.text.render import normalise

_LONGEST_QUERY = 32


class Queries(NamedTuple):
    """Distinct queries.

    Attributes:
        core: int64[q], code of the core among those of training members, 0 for another.
        words, letters: sets of terms of the core.
        place, level: int64[q], codes of what it names, 0 for none.
        kind_of_work: bool[q].
        exact: int64[q], row among the exact queries of training members, -1 for another.
        searches: float64[q], by training members with exactly this query.
        length, characters: float64[q].
        mean_idf, unknown: float64[q].
    """

    core: NDArray[np.int64]
    words: TermSets
    letters: TermSets
    place: NDArray[np.int64]
    level: NDArray[np.int64]
    kind_of_work: NDArray[np.bool_]
    exact: NDArray[np.int64]
    searches: NDArray[np.float64]
    length: NDArray[np.float64]
    characters: NDArray[np.float64]
    mean_idf: NDArray[np.float64]
    unknown: NDArray[np.float64]


class QueryReader:
    """Reads queries as the tables were made to understand them."""

    def __init__(self, arrays: Arrays, words: WordIds, places: Sequence[str]):
        self._phrases = PhraseReader(places[1:])
        self._cores = arrays.index("core_index")
        self._queries = arrays.index("query_index")
        self._searches = arrays["query_searches"]
        self._idf = Idf(arrays["idf.terms"], arrays["idf.values"], float(arrays["idf.unseen"][0]))
        self._words = words

    def read(self, texts: Sequence[str]) -> Queries:
        """Read distinct queries."""
        said = [self._phrases.read(text) for text in texts]
        cores = [entry.core for entry in said]
        every_word = TermSets.of(texts, words_of, self._idf)
        weights = np.append(every_word.weights, np.float32(0))
        starts = every_word.offsets[:-1]
        distinct = np.diff(every_word.offsets)
        sums = np.where(distinct > 0, np.add.reduceat(weights, starts), 0)
        ids = self._words.encode(texts, _LONGEST_QUERY)
        length = np.array([len(words_of(text)) for text in texts], np.float64)
        return Queries(
            core=np.maximum(self._cores.find(cores) + 1, 0),
            words=TermSets.of(cores, words_of, self._idf),
            letters=TermSets.of(cores, trigrams_of),
            place=np.array([entry.place for entry in said], np.int64),
            level=np.array([entry.level for entry in said], np.int64),
            kind_of_work=np.array([entry.kind_of_work for entry in said], bool),
            exact=(exact := self._exact(texts)),
            searches=self._counts(exact).astype(np.float64),
            length=length,
            characters=np.array([len(text) for text in texts], np.float64),
            mean_idf=sums / np.maximum(distinct, 1),
            unknown=(ids == UNKNOWN).sum(1) / np.maximum(np.minimum(length, _LONGEST_QUERY), 1),
        )

    def searches(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return int64[q], how often training members searched for exactly this query."""
        return self._counts(self._exact(texts))

    def _exact(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return self._queries.find([normalise(text) for text in texts])

    def _counts(self, exact: NDArray[np.int64]) -> NDArray[np.int64]:
        if not len(self._searches):
            return np.zeros(len(exact), np.int64)
        return np.where(exact >= 0, self._searches[exact], 0)
