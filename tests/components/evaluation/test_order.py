"""The published order of methods, held against ours."""

import numpy as np
import pytest

from components.evaluation.evaluate import METHODS
from components.evaluation.order import published_order
from components.evaluation.published import PUBLISHED, TABLE_3, TABLE_5


def ordered(dataset, **units):
    return published_order(dataset, units, resamples=200, seed=1)


def right(share, members=400):
    return np.arange(members) < share * members


def test_each_method_is_compared_with_the_next_below_it_in_the_paper():
    shares = {"CNN+e2e": 0.5, "BERT_FT+Slice": 0.7, "MNSRF": 0.1, "BERT+e2e": 0.8, "popular": 0.9}
    rows = ordered("D2", **{"p@1": {method: right(share) for method, share in shares.items()}})
    assert [(row["above"], row["below"], row["published"]) for row in rows] == [
        ("BERT+e2e", "BERT_FT+Slice", 0.104),
        ("BERT_FT+Slice", "CNN+e2e", 0.171),
        ("CNN+e2e", "MNSRF", 0.215),
    ]
    assert [row["difference"] for row in rows] == pytest.approx([0.1, 0.2, 0.4])
    assert all(row["low"] <= row["difference"] <= row["high"] for row in rows)


@pytest.mark.parametrize(
    ("above", "below", "holds"), [(0.8, 0.5, "yes"), (0.5, 0.8, "no"), (0.5, 0.5, "open")]
)
def test_an_order_holds_where_zero_is_outside_the_interval(above, below, holds):
    rng = np.random.default_rng(1)
    units = {
        "BERT+e2e": rng.permutation(right(above)),
        "BERT_FT+Slice": rng.permutation(right(below)),
    }
    [row] = ordered("D2", **{"p@1": units})
    assert row["holds"] == holds


def test_coverage_is_also_compared_between_slice_and_the_network_of_the_same_features():
    methods = ("BERT_FT+Slice", "fastText+Slice", "fastText+e2e", "BERT+e2e")
    rows = ordered("D2", coverage={method: right(0.5) for method in methods})
    assert [(row["above"], row["below"]) for row in rows] == [
        ("BERT_FT+Slice", "fastText+Slice"),
        ("fastText+Slice", "fastText+e2e"),
        ("fastText+e2e", "BERT+e2e"),
        ("BERT_FT+Slice", "BERT+e2e"),
    ]


def test_grades_are_compared_on_d3_and_nothing_where_the_paper_tells_nothing():
    units = {
        "p@1": {"BERT+e2e": right(1), "BERT_FT+Slice": right(0)},
        "perfect": {"fastText+Slice": right(0.2), "BERT_FT+Slice": right(0.6)},
    }
    assert [(row["above"], row["figure"]) for row in ordered("D3", **units)] == [
        ("BERT_FT+Slice", "perfect")
    ]
    assert ordered("D1", **units) == []
    assert ordered("D2", **{"p@1": {"BERT+e2e": right(1)}}) == []


def test_published_methods_are_ours():
    assert set(TABLE_3) | set(TABLE_5) <= set(METHODS)
    assert PUBLISHED["D2"]["BERT_FT+Slice"]["coverage"] == 0.766
