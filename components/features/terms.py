"""Sets of words, and of three letters, in a form that compiled code can compare."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from components.features.words import words_of

Terms = Callable[[str], list[str]]


class TermSets(NamedTuple):
    """One set of terms per text; a term is its 32-bit checksum, so unseen words compare too.

    Attributes:
        offsets: int64[n + 1] into the terms.
        terms: int64 checksums, ascending within a text, none twice.
        weights: float32, how much a term tells.
    """

    offsets: NDArray[np.int64]
    terms: NDArray[np.int64]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(cls, texts: Sequence[str], terms: Terms, idf: "Idf | None" = None) -> Self:
        """Make the sets of texts; all terms weigh the same without `idf`."""
        sets = [sorted({checksum(term) for term in terms(text)}) for text in texts]
        offsets = np.zeros(len(sets) + 1, np.int64)
        np.cumsum([len(own) for own in sets], out=offsets[1:])
        flat = np.fromiter((term for own in sets for term in own), np.int64, int(offsets[-1]))
        weights = np.ones(len(flat), np.float32) if idf is None else idf.of(flat)
        return cls(offsets, flat, weights)


class Idf(NamedTuple):
    """Inverse document frequency of terms: log of the share of texts that have one.

    Attributes:
        terms: int64 checksums, ascending.
        values: float32, beside them.
        unseen: of every other term.
    """

    terms: NDArray[np.int64]
    values: NDArray[np.float32]
    unseen: float

    @classmethod
    def learn(cls, texts: Sequence[str]) -> Self:
        """Count the words of texts."""
        sets = TermSets.of(texts, words_of)
        terms, counts = np.unique(sets.terms, return_counts=True)
        values = np.log((len(texts) + 1) / (counts + 0.5)).astype(np.float32)
        return cls(terms, np.maximum(values, 0.1), math.log(2 * (len(texts) + 1)))

    def of(self, terms: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return float32 values of terms."""
        if not len(self.terms):
            return np.full(len(terms), self.unseen, np.float32)
        at = np.minimum(np.searchsorted(self.terms, terms), len(self.terms) - 1)
        known = self.terms[at] == terms
        return np.where(known, self.values[at], np.float32(self.unseen)).astype(np.float32)


def checksum(term: str) -> int:
    """Return the number that stands for a term."""
    return crc32(term.encode("utf-8", "replace"))


def trigrams_of(text: str) -> list[str]:
    """Return the runs of three letters of each word, its ends marked: "rn" and "ns" have some."""
    marked = [f"^{word}$" for word in words_of(text)]
    return [word[at : at + 3] for word in marked for at in range(len(word) - 2)]
