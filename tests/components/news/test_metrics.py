"""The official measures: equal to the competition's script, impression by impression."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.news.metrics import figures_of, ranks_of


def dcg_score(y_true, y_score, k=10):
    order = np.argsort(y_score)[::-1]
    y_true = np.take(y_true, order[:k])
    gains = 2**y_true - 1
    discounts = np.log2(np.arange(len(y_true)) + 2)
    return np.sum(gains / discounts)


def ndcg_score(y_true, y_score, k=10):
    return dcg_score(y_true, y_score, k) / dcg_score(y_true, y_true, k)


def mrr_score(y_true, y_score):
    order = np.argsort(y_score)[::-1]
    y_true = np.take(y_true, order)
    return np.sum(y_true / (np.arange(len(y_true)) + 1)) / np.sum(y_true)


def official(labels, ranks):
    """What MIND's evaluate.py computes of one impression."""
    y_true = np.array(labels, dtype="float32")
    y_score = [1.0 / rank for rank in ranks]
    return (
        roc_auc_score(y_true, y_score),
        mrr_score(y_true, y_score),
        ndcg_score(y_true, y_score, 5),
        ndcg_score(y_true, y_score, 10),
    )


@pytest.fixture
def ragged():
    random = np.random.default_rng(0)
    sizes = random.integers(2, 40, 300)
    offsets = np.append(0, np.cumsum(sizes))
    clicked = random.random(offsets[-1]) < 0.15
    clicked[offsets[:-1]] = True  # each impression has a click, and something else
    clicked[offsets[1:] - 1] = False
    return random.standard_normal(offsets[-1]).astype(np.float32), clicked, offsets


def test_figures_are_those_of_the_official_script(ragged):
    scores, clicked, offsets = ragged
    ranks = ranks_of(scores, offsets, seed=0)
    ours = np.stack(figures_of(ranks, clicked, offsets), 1)
    theirs = [
        official(clicked[start:end], ranks[start:end])
        for start, end in zip(offsets[:-1], offsets[1:], strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_one_hand_made_impression():
    ranks = np.array([2, 1, 4, 3], np.int32)
    figures = figures_of(ranks, np.array([1, 0, 0, 1]) > 0, np.array([0, 4]))
    assert figures.auc == pytest.approx(0.5)  # (1 + 2 - 1) pairs of 4 in order
    assert figures.mrr == pytest.approx((1 / 2 + 1 / 3) / 2)
    ideal = 1 + 1 / np.log2(3)
    assert figures.ndcg5 == pytest.approx((1 / np.log2(3) + 1 / np.log2(4)) / ideal)


def test_an_impression_of_one_class_has_no_figure():
    offsets = np.array([0, 2, 4, 4, 6])
    clicked = np.array([1, 1, 0, 0, 0, 1]) > 0
    figures = figures_of(np.array([1, 2] * 3, np.int32), clicked, offsets)
    for figure in figures:
        assert np.isfinite(figure).tolist() == [False, False, False, True]


def test_best_scores_rank_first_and_each_rank_once(ragged):
    scores, _, offsets = ragged
    ranks = ranks_of(scores, offsets, seed=0)
    for start, end in zip(offsets[:-1], offsets[1:], strict=True):
        own = ranks[start:end]
        assert sorted(own) == list(range(1, end - start + 1))
        assert np.all(np.diff(scores[start:end][np.argsort(own)]) <= 0)


def test_where_all_scores_are_equal_the_order_of_the_file_earns_nothing():
    offsets = np.arange(0, 2001 * 10, 10)
    clicked = np.tile(np.arange(10) == 0, 2000)
    ranks = ranks_of(np.zeros(20_000), offsets, seed=0)
    assert figures_of(ranks, clicked, offsets).auc.mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(ranks, ranks_of(np.zeros(20_000), offsets, seed=0))


def test_no_impression_at_all():
    nothing = np.zeros(0, np.int32)
    figures = figures_of(ranks_of(nothing, np.array([0]), seed=0), nothing > 0, np.array([0]))
    assert all(len(figure) == 0 for figure in figures)
