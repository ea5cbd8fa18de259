"""Ranking by integers made of score and place."""

import numpy as np
import pytest

from components.neighbours.kernels import EVERYONE, Best, offer_block, offer_ranges, pack, unpack


def ranked(scores, wanted, shown=None):
    """Places by falling score, then rising place, in plain NumPy."""
    places = np.arange(len(scores)) if shown is None else np.flatnonzero(shown)
    best = places[np.lexsort((places, -scores[places]))][:wanted]
    return [*best.tolist(), *[-1] * (wanted - len(best))]


def test_a_key_gives_back_its_place_and_score():
    places = np.array([[0, 7, 2**32 - 2, -1]])
    scores = np.array([[1.5, -0.25, -3e-30, 9]], np.float32)
    keys = np.empty(places.shape, np.int64)
    pack(places, scores, keys)
    again, same = unpack(keys)
    assert again.tolist() == places.tolist()
    assert same[0].tolist() == [*scores[0, :3].tolist(), 0]


@pytest.mark.parametrize("wanted", [1, 7, 40, 500])
@pytest.mark.parametrize("every", [1, 3])
def test_the_best_are_kept_in_order_and_ties_by_place(wanted, every):
    random = np.random.default_rng(wanted)
    product = random.integers(-20, 20, (5, 300)).astype(np.float32)
    shown = np.arange(300) % every == 0
    best = Best(5, wanted)
    order = np.arange(300, dtype=np.int32)
    for start in range(0, 300, 90):
        block = product[:, start : start + 90]
        offer_block(best, np.arange(5), start, order, shown if every > 1 else EVERYONE, block)
    assert best.places().tolist() == [ranked(row, wanted, shown) for row in product]


def test_ranges_offer_what_blocks_offer():
    random = np.random.default_rng(3)
    vectors = random.integers(-3, 4, (90, 8)).astype(np.float32)
    queries = random.integers(-3, 4, (4, 8)).astype(np.float32)
    order = random.permutation(90).astype(np.int32)
    offsets = np.array([0, 30, 30, 90])
    best = Best(4, 12)
    probed = np.tile(np.arange(3), (4, 1))
    offer_ranges(best, queries, probed, offsets, vectors, order, EVERYONE)
    by_place = np.empty((4, 90), np.float32)
    by_place[:, order] = queries @ vectors.T
    assert best.places().tolist() == [ranked(row, 12) for row in by_place]
