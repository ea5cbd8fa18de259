"""LambdaMART on ranking lists."""

import json

import numpy as np
import pytest

from components.ranking.config import TreesConfig
from components.ranking.errors import RankingError
from components.ranking.lists import Lists
from components.ranking.trees import score_trees, train_trees
from tests.components.ranking.conftest import write_lists

SMALL = TreesConfig(trees=30, leaves=4, leaf_documents=5, feature_share=1.0)


@pytest.fixture(scope="module")
def trees(made, tmp_path_factory):
    target = tmp_path_factory.mktemp("trees") / "trees"
    return target, train_trees(made.lists, target, SMALL, seed=0)


def test_what_features_tell_is_learnt(trees, made):
    scores = score_trees(trees[0], made.lists, "test")
    lists = Lists.open(made.lists)
    numbers = lists.select("test")
    rows = slice(lists.offsets[numbers[0]], lists.offsets[numbers[-1] + 1])
    assert scores.dtype == np.float32
    assert len(scores) == len(lists.gains[rows])
    assert np.corrcoef(scores, lists.continuous[rows, 0])[0, 1] > 0.5, "clicks make gains likelier"


def test_trees_end_where_validation_is_best(trees):
    about = json.loads((trees[0] / "trees.json").read_text())
    assert about["trees"] == trees[1]["trees"] <= 30
    assert 0 < about["ndcg"] < 1


def test_equal_seeds_make_equal_trees(trees, made, tmp_path):
    train_trees(made.lists, tmp_path / "again", SMALL, seed=0)
    assert (tmp_path / "again" / "trees.txt").read_text() == (trees[0] / "trees.txt").read_text()


def test_no_lists_make_no_trees(tmp_path):
    (tmp_path / "nothing").mkdir()
    assert train_trees(tmp_path / "nothing", tmp_path / "trees", SMALL, seed=0) == {}
    with pytest.raises(RankingError, match="trees: not readable as trees"):
        score_trees(tmp_path / "trees", tmp_path / "nothing", "test")


def test_lists_without_any_gain_are_named(tmp_path):
    lists = write_lists(tmp_path / "lists", [3] * 20, gainless=1.0)
    with pytest.raises(RankingError, match="lists: no list of a training member"):
        train_trees(lists, tmp_path / "trees", SMALL, seed=0)


def test_lists_of_other_features_are_refused(trees, tmp_path):
    other = write_lists(tmp_path / "lists", [3] * 10)
    about = json.loads((other / "about.json").read_text())
    about["categorical"][0][1] = 9
    (other / "about.json").write_text(json.dumps(about))
    with pytest.raises(RankingError, match="lists: categorical differ from those"):
        score_trees(trees[0], other, "test")
