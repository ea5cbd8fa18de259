"""Measuring rankers: whoever knows the gains wins, and nobody is credited with the shown order."""

import json

import numpy as np
import pytest

from components.evaluation.config import EvaluationConfig
from components.evaluation.errors import EvaluationError
from components.evaluation.ranking import (
    AS_SHOWN,
    BASE,
    MEASURED,
    TOWER,
    measure_ranking,
    measure_trained,
)
from components.ranking.lists import Lists
from tests.components.ranking.conftest import write_lists

CONFIG = EvaluationConfig(resamples=200)


@pytest.fixture
def lists(tmp_path):
    lengths = np.random.default_rng(0).integers(1, 12, 300)
    return Lists.open(write_lists(tmp_path / "lists", lengths))


def gains_of(lists, split):
    return np.concatenate(
        [lists.gains[lists.offsets[n] : lists.offsets[n + 1]] for n in lists.select(split)]
    )


def measured(lists, scores, folder):
    return measure_ranking(lists, scores, folder / "measured", CONFIG, seed=1)


def test_a_ranker_that_knows_the_gains_is_perfect_and_its_lead_is_sure(lists, tmp_path):
    gains = gains_of(lists, "test")
    tables = measured(lists, {BASE: np.zeros_like(gains), TOWER: gains}, tmp_path)
    rows = {row["method"]: row for row in tables["ranking"]}
    assert rows[TOWER]["ndcg@25"] == rows[TOWER]["auc"] == rows[TOWER]["mrr"] == 1
    assert 0.4 < rows[BASE]["auc"] < 0.6
    assert all(row["low"] > 0 for row in tables["ranking_differences"] if row["against"] == BASE)


def test_the_order_a_page_was_shown_in_is_measured_beside_the_rankers(lists, tmp_path):
    gains = gains_of(lists, "test")
    tables = measured(lists, {BASE: gains}, tmp_path)
    assert [row["method"] for row in tables["ranking"]] == [AS_SHOWN, BASE]
    lists_with_gain = sum(
        lists.gains[lists.offsets[n] : lists.offsets[n + 1]].max() > 0 for n in lists.select("test")
    )
    assert {row["lists"] for row in tables["ranking"]} == {lists_with_gain}


def test_an_interval_holds_its_mean_and_shrinks_with_more_lists(tmp_path):
    widths = []
    for name, count in (("few", 200), ("many", 2000)):
        lists = Lists.open(write_lists(tmp_path / name, np.full(count, 8)))
        scores = {BASE: np.random.default_rng(1).random(len(gains_of(lists, "test")))}
        row = measured(lists, scores, tmp_path / f"{name}-measured")["ranking"][1]
        assert row["auc_low"] < row["auc"] < row["auc_high"]
        widths.append(row["auc_high"] - row["auc_low"])
    assert widths[1] < widths[0] / 2


def test_frequencies_of_queries_share_out_all_lists(lists, tmp_path):
    tables = measured(lists, {BASE: gains_of(lists, "test")}, tmp_path)
    counts = [row["lists"] for row in tables["ranking_frequency"] if row["method"] == BASE]
    assert sum(counts) == tables["ranking"][0]["lists"]


def test_what_is_returned_is_what_is_written(lists, tmp_path):
    tables = measured(lists, {BASE: gains_of(lists, "test")}, tmp_path)
    assert json.loads((tmp_path / "measured" / MEASURED).read_text()) == tables


def test_scores_of_other_lists_are_refused_by_the_method_s_name(lists, tmp_path):
    with pytest.raises(EvaluationError, match="TF-Ranking scored"):
        measured(lists, {BASE: gains_of(lists, "train")}, tmp_path)
    assert not (tmp_path / "measured").exists()


def test_a_source_without_lists_measures_nothing(tmp_path):
    empty = [tmp_path / name for name in ("lists", "vectors", "trees", "ranker")]
    for directory in empty:
        directory.mkdir()
    lists, vectors, trees, ranker = empty
    trained = {"trees": trees, "rankers": {TOWER: ranker}}
    target = tmp_path / "measured"
    assert measure_trained(lists, vectors, **trained, target=target, config=CONFIG, seed=1) == {}
    assert not any(target.iterdir())
