"""Selective whole-word masking, drawn on the fly.

Every draw is a hash of (seed, masking number, place of the word in the corpus), so an example is
masked alike whenever and wherever it is visited, `dupe_factor` maskings cost no disk, and a resumed
run sees what the interrupted one would have seen.
"""

from typing import NamedTuple

import numpy as np

from components.text.vocabulary import Vocabulary

MASKED, RANDOM = 0.8, 0.1


class Masked(NamedTuple):
    """Subwords with some words hidden.

    Attributes:
        ids: int64[T], what the model sees.
        positions: int64[M], which subwords it has to predict.
        words: int64[M], what stood there.
    """

    ids: np.ndarray
    positions: np.ndarray
    words: np.ndarray


def mask_words(
    ids: np.ndarray, places: np.ndarray, vocabulary: Vocabulary, *, share: float, seed: int
) -> Masked:
    """Hide a share of the words, whole: 80% become [MASK], 10% random subwords, 10% stay.

    Special tokens and action types, which are a large part of all tokens and say little, are never
    chosen (selective masking).

    Args:
        ids: int64[T], subwords of packed documents.
        places: uint64[T], distinct over the corpus and rising within a document.
        vocabulary: which subwords start a word, which are special, which are action types.
        share: of the words, expected to be chosen.
        seed: of the draws, one per masking.

    Source: paper, section 3.3; 80/10/10 from Devlin et al. 2018, section 3.1.
    """
    starts = vocabulary.word_start[ids]
    starts[0] = True
    first = np.flatnonzero(starts)
    word = np.cumsum(starts) - 1
    word_place = places[first]
    chosen = _uniform(word_place, seed, 0) < share
    chosen &= ~_never_masked(vocabulary)[ids[first]]
    positions = np.flatnonzero(chosen[word])
    words = ids[positions]
    fate = _uniform(places[positions], seed, 1)
    seen = ids.copy()
    seen[positions[fate < MASKED]] = vocabulary.mask
    random = (fate >= MASKED) & (fate < MASKED + RANDOM)
    lowest = _first_ordinary(vocabulary)
    drawn = _uniform(places[positions[random]], seed, 2) * (vocabulary.size - lowest)
    seen[positions[random]] = lowest + drawn.astype(np.int64)
    return Masked(seen, positions, words)


def _first_ordinary(vocabulary: Vocabulary) -> int:
    return int(vocabulary.action_ids.max()) + 1


def _never_masked(vocabulary: Vocabulary) -> np.ndarray:
    never = np.zeros(vocabulary.size, bool)
    never[: _first_ordinary(vocabulary)] = True
    return never


def _uniform(place: np.ndarray, seed: int, draw: int) -> np.ndarray:
    """Return float64 in [0, 1) from the 64-bit finaliser of SplitMix (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        x = place.astype(np.uint64) * np.uint64(4) + np.uint64(draw)
        x = x + np.uint64(seed % (1 << 63)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)) * 2.0**-53
