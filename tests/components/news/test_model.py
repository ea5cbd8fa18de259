"""The ranker: the published function of two vectors, however its first layer is computed."""

import numpy as np
import pytest

from components.news.config import COMBINATIONS
from components.news.lists import Pairs
from components.news.model import PairScorer, export
from components.ranking.batches import Scale
from components.ranking.keras import tf
from tests.components.news.conftest import tiny

D, USERS, ITEMS, PAIRS = 6, 3, 5, 11


@pytest.fixture
def pairs():
    random = np.random.default_rng(0)
    return Pairs(
        random.standard_normal((USERS, D)).astype(np.float32),
        random.standard_normal((ITEMS, D)).astype(np.float32),
        random.integers(0, USERS, PAIRS).astype(np.int32),
        random.integers(0, ITEMS, PAIRS).astype(np.int32),
    )


def scorer(combination, **changes):
    users = Scale(np.full(D, 0.5, np.float32), np.full(D, 2, np.float32))
    items = Scale(np.full(D, -1, np.float32), np.full(D, 3, np.float32))
    return PairScorer(tiny(**changes), combination, users, items, seed=0)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_scores_are_those_of_layers_over_the_concatenated_parts(combination, pairs):
    model = scorer(combination)
    u = ((pairs.users - 0.5) / 2)[pairs.user]
    v = ((pairs.items + 1) / 3)[pairs.item]
    made = {"u": u, "v": v, "u*v": u * v, "|u-v|": np.abs(u - v)}
    parts = combination.split(",")
    x = np.concatenate([made[part] for part in parts], axis=1)
    weights = {tuple(w.shape): [] for w in model.trainable_variables}
    for variable in model.trainable_variables:
        weights[tuple(variable.shape)].append(variable.numpy())
    first = np.concatenate(weights[D, 32])
    assert len(weights[D, 32]) == len(parts)
    x = np.maximum(x @ first + weights[32,][0], 0)
    x = np.maximum(x @ weights[32, 16][0] + weights[16,][0], 0)
    wanted = (x @ weights[16, 1][0] + weights[1,][0])[:, 0]
    np.testing.assert_allclose(model(pairs).numpy(), wanted, atol=1e-5)


def test_published_sizes_are_the_default():
    model = scorer("u,v,|u-v|", units=(512, 256, 256, 256))
    shapes = sorted(tuple(v.shape) for v in model.trainable_variables if len(v.shape) == 2)
    assert shapes == sorted([(D, 512)] * 3 + [(512, 256), (256, 256), (256, 256), (256, 1)])


def test_without_history_a_member_is_the_mean_one(pairs):
    model = scorer("u,v,u*v")
    mean = np.full((USERS, D), 0.5, np.float32)
    nobody = model(pairs._replace(users=np.zeros((USERS, D), np.float32))).numpy()
    np.testing.assert_allclose(nobody, model(pairs._replace(users=mean)).numpy(), atol=1e-6)


def test_a_saved_model_scores_the_same(pairs, tmp_path):
    model = scorer("u*v")
    export(model, tmp_path / "saved_model")
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    tensors = {name: tf.constant(value) for name, value in pairs._asdict().items()}
    scores = loaded.signatures["serving_default"](**tensors)["scores"]
    np.testing.assert_allclose(scores, model(pairs).numpy(), atol=1e-6)
