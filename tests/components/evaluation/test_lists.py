"""What a figure of a ranked list means, on lists small enough to work out by hand."""

import numpy as np
import pytest

from components.evaluation.lists import list_figures
from components.ranking import keras


def figures(lists, *, k=25, seed=0):
    """Measure lists of (score, gain) pairs."""
    pairs = np.array([pair for one in lists for pair in one], float).reshape(-1, 2)
    offsets = np.append(0, np.cumsum([len(one) for one in lists])).astype(np.int64)
    return list_figures(pairs[:, 0], pairs[:, 1], offsets, k=k, seed=seed)


def test_a_list_in_the_order_of_its_gains_is_perfect():
    found = figures([[(3, 3), (2, 1), (1, 0)]])
    assert (found.ndcg[0], found.auc[0], found.mrr[0]) == (1, 1, 1)


def test_ndcg_discounts_a_gain_by_the_logarithm_of_its_place():
    # Ranked gains 0, 3, 1: (7 / log2 3 + 1 / log2 4) over the ideal (7 / log2 2 + 1 / log2 3).
    found = figures([[(9, 0), (8, 3), (7, 1)]])
    assert found.ndcg[0] == pytest.approx((7 / np.log2(3) + 1 / 2) / (7 + 1 / np.log2(3)))


def test_documents_below_k_gain_nothing():
    assert figures([[(2, 0), (1, 3)]], k=1).ndcg[0] == 0


def test_auc_is_the_share_of_pairs_in_order():
    # Two with gain at places 1 and 3, two without at 2 and 4: 3 of 4 pairs are in order.
    assert figures([[(4, 1), (3, 0), (2, 2), (1, 0)]]).auc[0] == 0.75


def test_mrr_looks_at_the_first_document_with_gain():
    assert figures([[(4, 0), (3, 0), (2, 2), (1, 3)]]).mrr[0] == pytest.approx(1 / 3)


def test_lists_do_not_leak_into_each_other():
    alone = figures([[(1, 0), (2, 1), (3, 0)]])
    among = figures([[(9, 3)], [(1, 0), (2, 1), (3, 0)], [(0, 0), (5, 2)]])
    assert [figure[0] for figure in alone] == [figure[1] for figure in among]


def test_a_list_without_gain_has_no_figure_and_one_with_gain_only_has_no_auc():
    found = figures([[(1, 0), (2, 0)], [(1, 2)], []])
    assert np.isnan(found.ndcg).tolist() == [True, False, True]
    assert np.isnan(found.auc).tolist() == [True, True, True]
    assert np.isnan(found.mrr).tolist() == [True, False, True]


def test_equal_scores_do_not_keep_the_order_they_came_in():
    shown_first = [[(0, 1), (0, 0)]] * 400
    found = figures(shown_first)
    assert 0.4 < found.mrr.mean() - 0.25 < 0.6
    assert 0.4 < found.auc.mean() < 0.6


def test_the_same_seed_gives_the_same_figures():
    tied = [[(0, 1), (0, 0), (0, 3)]] * 50
    assert np.array_equal(figures(tied, seed=5).ndcg, figures(tied, seed=5).ndcg)


def test_figures_are_those_of_tensorflow_ranking():
    rng = np.random.default_rng(2)
    scores, gains = rng.normal(size=(40, 12)), rng.integers(0, 4, (40, 12)).astype(float)
    gains[:, 0] = 1
    metric = keras.tfr.keras.metrics.NDCGMetric(topn=5)
    metric.update_state(gains, scores)
    mrr = keras.tfr.keras.metrics.MRRMetric()
    mrr.update_state((gains > 0).astype(float), scores)
    found = list_figures(scores.ravel(), gains.ravel(), np.arange(41) * 12, k=5, seed=0)
    assert found.mrr.mean() == pytest.approx(float(mrr.result()), abs=1e-5)
    # Over several lists its mean is weighted by their gains, so each list is asked for by itself.
    per_list = [
        float(keras.tfr.keras.metrics.NDCGMetric(topn=5)(gains[[i]], scores[[i]]))
        for i in range(40)
    ]
    assert found.ndcg == pytest.approx(per_list, abs=1e-5)
