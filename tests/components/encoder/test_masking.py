"""Masking: whole words, never the frequent tokens, the same again for the same place."""

import numpy as np
import pytest

from components.encoder.masking import mask_words

FIRST_ORDINARY = 8


class Words:
    """A vocabulary of 5 special tokens, 3 action types, 500 word starts and 492 continuations."""

    size, mask = 1000, 4
    action_ids = np.array([5, 6, 7], np.int32)
    word_start = np.arange(1000) < 508


@pytest.fixture(scope="module")
def corpus():
    """Words of 1 to 4 subwords between action types and separators; and where each word starts."""
    random = np.random.default_rng(0)
    ids = []
    while len(ids) < 200_000:
        ids += [random.integers(0, 8)]
        for _ in range(random.integers(0, 6)):
            ids += [random.integers(8, 508), *random.integers(508, 1000, random.integers(0, 4))]
    return np.array(ids, np.int64)


def mask(ids, *, first_place=0, **changed):
    places = np.arange(first_place, first_place + len(ids)).astype(np.uint64)
    return mask_words(ids, places, Words(), **{"share": 0.15, "seed": 0} | changed)


def test_words_are_hidden_whole(corpus):
    masked = mask(corpus)
    chosen = np.zeros(len(corpus), bool)
    chosen[masked.positions] = True
    word = np.cumsum(Words.word_start[corpus]) - 1
    share = np.bincount(word, chosen) / np.bincount(word)
    assert set(share) == {0.0, 1.0}


def test_special_tokens_and_action_types_are_never_chosen(corpus):
    masked = mask(corpus, share=0.99)
    assert masked.words.min() >= FIRST_ORDINARY
    frequent = corpus < FIRST_ORDINARY
    np.testing.assert_array_equal(masked.ids[frequent], corpus[frequent])


@pytest.mark.parametrize("share", [0.05, 0.15, 0.4])
def test_the_share_is_of_the_words_that_may_be_chosen(corpus, share):
    starts = np.isin(mask(corpus, share=share).positions, np.flatnonzero(Words.word_start[corpus]))
    ordinary = Words.word_start[corpus] & (corpus >= FIRST_ORDINARY)
    assert starts.sum() / ordinary.sum() == pytest.approx(share, rel=0.05)


def test_eight_tenths_are_hidden_one_replaced_and_one_kept(corpus):
    masked = mask(corpus)
    seen = masked.ids[masked.positions]
    hidden, kept = seen == Words.mask, seen == masked.words
    replaced = seen[~hidden & ~kept]
    assert hidden.mean() == pytest.approx(0.8, abs=0.01)
    assert kept.mean() == pytest.approx(0.1, abs=0.01)
    assert replaced.min() == FIRST_ORDINARY
    assert replaced.max() == Words.size - 1


def test_what_is_not_chosen_is_left_alone_and_what_is_can_be_told_back(corpus):
    before = corpus.copy()
    masked = mask(corpus)
    np.testing.assert_array_equal(corpus, before)
    restored = masked.ids.copy()
    restored[masked.positions] = masked.words
    np.testing.assert_array_equal(restored, corpus)


def test_a_word_is_masked_by_its_place_whatever_stands_around_it(corpus):
    whole = mask(corpus)
    start = int(np.flatnonzero(corpus < FIRST_ORDINARY)[100])
    part = mask(corpus[start : start + 500], first_place=start)
    inside = (whole.positions >= start) & (whole.positions < start + 500)
    words = np.flatnonzero(Words.word_start[corpus[: start + 500]])
    inside &= whole.positions < words[-1]  # the last word may be cut off
    found = part.positions[part.positions + start < words[-1]] + start
    np.testing.assert_array_equal(found, whole.positions[inside])
    np.testing.assert_array_equal(part.ids[found - start], whole.ids[found])


def test_another_seed_or_place_is_another_masking(corpus):
    sets = [
        set(masked.positions.tolist())
        for masked in (mask(corpus), mask(corpus, seed=1), mask(corpus, first_place=1 << 38))
    ]
    for first in sets:
        for second in sets:
            if first is not second:
                assert len(first & second) / len(first) == pytest.approx(0.15, abs=0.02)


def test_the_rest_of_a_word_cut_by_the_chunk_is_not_chosen():
    behind_cls = np.concatenate([[2], np.full(5000, 600)])
    assert not any(len(mask(behind_cls, seed=seed).positions) for seed in range(20))
