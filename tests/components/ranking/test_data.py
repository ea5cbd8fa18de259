"""What a ranker learns from: which lists, and the scales of its inputs."""

import json

import numpy as np
import pytest

from components.ranking.data import TrainingData, Vectors, has_gain
from components.ranking.errors import RankingError
from components.ranking.lists import Lists
from tests.components.ranking.conftest import ENCODER, tiny


@pytest.fixture(scope="module")
def lists(made):
    return Lists.open(made.lists)


def gains_of(lists, number):
    return lists.gains[lists.offsets[number] : lists.offsets[number + 1]]


def test_lists_with_a_gain_among_the_first_are_learnt_from(made, lists):
    data = TrainingData.open(made.lists, made.vectors, tiny(list_size=3))
    side = lists.select("train")
    assert data.training.tolist() == [n for n in side if gains_of(lists, n)[:3].any()]
    validation = lists.select("validation")
    assert data.validation.tolist() == [n for n in validation if gains_of(lists, n).any()]


def test_one_gain_anywhere_is_a_gain(lists):
    numbers = np.arange(len(lists))
    assert has_gain(lists, numbers).tolist() == [bool(gains_of(lists, n).any()) for n in numbers]


def test_scales_are_those_of_the_training_side(made, lists):
    data = TrainingData.open(made.lists, made.vectors, tiny())
    side = lists.select("train")
    rows = np.concatenate([np.arange(*lists.offsets[n : n + 2]) for n in side])
    np.testing.assert_allclose(data.features.mean, lists.continuous[rows].mean(0), rtol=1e-3)
    deviation = lists.continuous[rows].astype(float).std(0)
    np.testing.assert_allclose(data.features.deviation, deviation, rtol=1e-4)
    assert data.features.deviation[2] == 0, "a constant deviates by nothing"
    examples = np.unique(lists.example[side])[1:]
    np.testing.assert_allclose(data.activity.mean, data.vectors.rows[examples].mean(0), rtol=1e-4)


def test_features_are_left_out_by_their_first_letters(made):
    data = TrainingData.open(made.lists, made.vectors, tiny(leave_out=("clicks", "con")))
    assert np.isinf(data.features.deviation).tolist() == [True, False, True]


def test_vectors_say_which_encoder_made_them(made, lists, tmp_path):
    assert Vectors.open(made.vectors, lists).encoder == ENCODER
    np.save(tmp_path / "vectors.npy", np.zeros((400, 6), np.float32))
    (tmp_path / "vectors.json").write_text(json.dumps({"dimension": 6}))
    with pytest.raises(RankingError, match=r"vectors\.json: does not name an encoder"):
        Vectors.open(tmp_path, lists)
