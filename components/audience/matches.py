"""Exact matches: the members whom a posting's own words name.

A member matches a posting exactly when

- he has applied to a posting with the same normalised title, or
- one of his predicted entities is the search for just this title, or this very posting (its company
  and title), or
- his profile's headline is this title.

Deeds come first, then predictions, then what a profile says, which may be out of date: matches are
ordered by applications, then by the score of the best prediction, then by headline, then by row.

Source: paper, section 4.3 (the anchor set).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from components.text.render import entity_text, normalise


class Matches(NamedTuple):
    """The exact matches of one posting, the most relevant first; arrays [n].

    Attributes:
        rows: of the members.
        applied: applications to postings with this title.
        searched: score of the predicted search for this title; 0 when it is not predicted.
        posting: score of the predicted posting; 0 when it is not predicted.
        headline: whether the headline is this title.
    """

    rows: NDArray[np.int64]
    applied: NDArray[np.int32]
    searched: NDArray[np.float32]
    posting: NDArray[np.float32]
    headline: NDArray[np.bool_]

    def select(self, wanted: NDArray) -> "Matches":
        """Return those of a mask."""
        return Matches(*(column[wanted] for column in self))


class Predictions(NamedTuple):
    """Predicted entities by member: arrays [p], one element per prediction.

    Attributes:
        rows: of the members; -1 is nobody.
        labels: numbers of the labels; -1 is none.
        scores: higher is likelier.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]


class Texts(NamedTuple):
    """Titles by member: arrays [t].

    Attributes:
        rows: of the members; -1 is nobody.
        texts: as written.
        times: how often.
    """

    rows: NDArray[np.int64]
    texts: pa.Array | pa.ChunkedArray
    times: NDArray[np.int64]


class ExactMatches:
    """Finds a posting's exact matches among members, who are rows.

    Args:
        members: how many rows there are.
        applied: titles that members applied to.
        headlines: of members' profiles.
        predictions: of members.
        labels: table of the labels, with `kind` and `text`.
    """

    def __init__(
        self,
        members: int,
        *,
        applied: Texts,
        headlines: Texts,
        predictions: Predictions,
        labels: pa.Table,
    ):
        self._title_numbers: dict[str, int] = {}
        self._applied = self._by_title(applied, members)
        self._headlines = self._by_title(headlines, members)
        self._labels = {
            key: number
            for number, key in enumerate(
                zip(labels["kind"].to_pylist(), labels["text"].to_pylist(), strict=True)
            )
        }
        known = (predictions.rows >= 0) & (predictions.labels >= 0)
        self._predictions = sp.csc_matrix(
            (predictions.scores[known], (predictions.rows[known], predictions.labels[known])),
            shape=(members, len(labels)),
        )

    def of(self, company: str | None, title: str) -> Matches:
        """Return the exact matches of a posting."""
        name = normalise(title)
        number = self._title_numbers.get(name, -1)
        columns = (
            _column(self._applied, number),
            _column(self._predictions, self._labels.get(("query", name), -1)),
            _column(self._predictions, self._entity(company, title)),
            _column(self._headlines, number),
        )
        rows = np.unique(np.concatenate([rows for rows, _ in columns]))
        applied, searched, posting, headline = (_spread(rows, *column) for column in columns)
        order = np.lexsort((rows, headline == 0, -np.maximum(searched, posting), -applied))
        return Matches(
            rows[order],
            applied[order].astype(np.int32),
            searched[order].astype(np.float32),
            posting[order].astype(np.float32),
            headline[order] > 0,
        )

    def _entity(self, company: str | None, title: str) -> int:
        # A vertical names its postings by company and title, or by title alone.
        by_both = self._labels.get(("entity", entity_text(company=company, title=title)))
        return self._labels.get(("entity", normalise(title)), -1) if by_both is None else by_both

    def _by_title(self, titles: Texts, members: int) -> sp.csc_matrix:
        encoded = pc.dictionary_encode(pa.chunked_array([titles.texts]).combine_chunks())
        numbers = self._number(encoded.dictionary.to_pylist())
        codes = encoded.indices.fill_null(len(numbers) - 1).to_numpy()
        columns = numbers[codes]
        known = (titles.rows >= 0) & (columns >= 0)
        values = (titles.times[known], (titles.rows[known], columns[known]))
        return sp.csc_matrix(values, shape=(members, len(self._title_numbers)))

    def _number(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Number texts; the empty text, and what comes last for a missing one, has -1."""
        names = [normalise(text) for text in texts]
        known = self._title_numbers
        return np.array(
            [known.setdefault(name, len(known)) if name else -1 for name in names] + [-1]
        )


def _column(matrix: sp.csc_matrix, number: int) -> tuple[NDArray, NDArray]:
    if not 0 <= number < matrix.shape[1]:
        return np.zeros(0, np.int64), np.zeros(0)
    part = slice(*matrix.indptr[number : number + 2])
    return matrix.indices[part].astype(np.int64), matrix.data[part]


def _spread(rows: NDArray[np.int64], some: NDArray[np.int64], values: NDArray) -> NDArray:
    spread = np.zeros(len(rows), np.float64)
    np.maximum.at(spread, np.searchsorted(rows, some), values)
    return spread
