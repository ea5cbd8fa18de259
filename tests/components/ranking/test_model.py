"""The deep and wide model: what may and what may not change a score."""

import numpy as np
import pytest

from components.ranking.batches import Documents, Scale, Sizes
from components.ranking.keras import tf
from components.ranking.model import DeepAndWide
from tests.components.ranking.conftest import tiny

SIZES = Sizes(words=12, widths=(3, 4, 2), continuous=3, codes=(5, 7), vector=6)
TRAINING = tf.constant([1, 2])


def build(seed=0, tower=True, words=None, **changes):
    unit = {n: Scale(np.zeros(n, np.float32), np.ones(n, np.float32)) for n in (3, 6)}
    return DeepAndWide(
        tiny(**changes),
        SIZES,
        tower=tower,
        features=unit[3],
        vectors=unit[6],
        words=words,
        seed=seed,
    )


@pytest.fixture
def documents():
    random = np.random.default_rng(0)
    return Documents(
        queries=np.array([[2, 3, 0], [4, 0, 0]], np.int32),
        titles=np.array([[5, 6, 7, 0], [8, 0, 0, 0], [0, 0, 0, 0]], np.int32),
        companies=np.array([[9, 10]], np.int32),
        query=np.array([0, 1], np.int32),
        title=np.array([0, 1, 2, 1, 0], np.int32),
        company=np.zeros(5, np.int32),
        owner=np.array([0, 0, 0, 1, 1], np.int32),
        continuous=random.standard_normal((5, 3)).astype(np.float32),
        categorical=np.array([[0, 0], [1, 6], [4, 2], [1, 1], [3, 5]], np.int32),
        vector=random.standard_normal((2, 6)).astype(np.float32),
        has_vector=np.ones(2, np.float32),
    )


def test_a_document_is_scored_by_itself(documents):
    model = build()
    whole = model(documents).numpy()
    alone = documents._replace(
        title=documents.title[3:],
        company=documents.company[3:],
        owner=documents.owner[3:],
        continuous=documents.continuous[3:],
        categorical=documents.categorical[3:],
    )
    np.testing.assert_allclose(model(alone).numpy(), whole[3:], rtol=1e-5)


def test_padding_of_texts_changes_nothing(documents):
    model = build()
    wider = documents._replace(queries=np.pad(documents.queries, ((0, 0), (0, 1))))
    np.testing.assert_allclose(model(wider).numpy(), model(documents).numpy(), rtol=1e-5)


def test_the_order_of_words_counts(documents):
    turned = documents._replace(queries=np.array([[3, 2, 0], [4, 0, 0]], np.int32))
    model = build()
    assert not np.allclose(model(turned)[:3], model(documents)[:3], rtol=1e-6)
    assert np.allclose(model(turned)[3:], model(documents)[3:])


def test_a_member_can_change_the_order_of_documents(documents):
    """A tower under a linear layer adds the same to all documents of a list; this one does not."""
    model = build()
    other = documents._replace(vector=-3 * documents.vector)
    shift = model(other).numpy()[:3] - model(documents).numpy()[:3]
    assert np.ptp(shift) > 1e-3


@pytest.mark.parametrize("meeting", ["concatenation", "product"])
def test_members_without_a_vector_are_ranked_whatever_stands_in_its_place(documents, meeting):
    model = build(meeting=meeting)
    cold = documents._replace(has_vector=np.zeros(2, np.float32))
    nonsense = cold._replace(vector=cold.vector * 100)
    assert np.isfinite(model(cold)).all()
    np.testing.assert_array_equal(model(nonsense), model(cold))
    assert not np.allclose(model(cold), model(documents))


def test_without_the_tower_vectors_are_not_read(documents):
    model = build(tower=False)
    np.testing.assert_array_equal(
        model(documents._replace(vector=documents.vector * 2)), model(documents)
    )


def test_codes_outside_their_range_are_unknown(documents):
    model = build()
    codes = np.where(documents.categorical == 0, 99, -3).astype(np.int32)
    strange = documents._replace(categorical=codes)
    unknown = documents._replace(categorical=np.zeros((5, 2), np.int32))
    np.testing.assert_array_equal(model(strange), model(unknown))


def test_codes_are_hidden_while_training_alone(documents):
    unknown = documents._replace(categorical=np.zeros((5, 2), np.int32))
    hiding = [build(drop_codes=1.0)(d, noise=TRAINING) for d in (documents, unknown)]
    np.testing.assert_array_equal(*hiding)
    assert not np.allclose(build(drop_codes=1.0)(documents), build()(unknown))


def test_features_are_normalised_and_held_within_limits(documents):
    scale = Scale(np.array([10, 0, 0], np.float32), np.array([2, 1, 0], np.float32))
    unit = Scale(np.zeros(6, np.float32), np.ones(6, np.float32))
    settings = {"tower": True, "vectors": unit, "words": None, "seed": 0}
    raw = DeepAndWide(tiny(clip=5), SIZES, features=scale, **settings)
    far = documents.continuous.copy()
    far[0] = [1e6, 0, 0]
    near = documents.continuous.copy()
    near[0] = [20, 0, 0]
    np.testing.assert_allclose(
        raw(documents._replace(continuous=far)), raw(documents._replace(continuous=near))
    )


def test_a_feature_of_infinite_deviation_is_not_read(documents):
    scale = Scale(np.zeros(3, np.float32), np.array([1, np.inf, 1], np.float32))
    unit = Scale(np.zeros(6, np.float32), np.ones(6, np.float32))
    settings = {"tower": True, "vectors": unit, "words": None, "seed": 0}
    model = DeepAndWide(tiny(), SIZES, features=scale, **settings)
    other = documents.continuous * np.array([1, 50, 1], np.float32)
    np.testing.assert_array_equal(model(documents._replace(continuous=other)), model(documents))


def test_members_without_a_vector_take_no_part_in_the_towers_averages(documents):
    half, one = build(), build()
    mixed = documents._replace(has_vector=np.array([1, 0], np.float32))
    half(mixed, noise=TRAINING)
    single = documents._replace(
        query=documents.query[:1],
        title=documents.title[:3],
        company=documents.company[:3],
        owner=documents.owner[:3],
        continuous=documents.continuous[:3],
        categorical=documents.categorical[:3],
        vector=documents.vector[:1],
        has_vector=np.ones(1, np.float32),
    )
    one(single, noise=TRAINING)
    for a, b in zip(averages(half), averages(one), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_batch_of_members_without_vectors_leaves_the_towers_averages(documents):
    model = build()
    before = averages(model)
    model(documents._replace(has_vector=np.zeros(2, np.float32)), noise=TRAINING)
    for a, b in zip(before, averages(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_dropout_is_a_function_of_the_steps_seed(documents):
    model = build(dropout=0.5, tower_dropout=0.5)
    first = model(documents, noise=tf.constant([1, 2]))
    np.testing.assert_array_equal(model(documents, noise=tf.constant([1, 2])), first)
    assert not np.allclose(model(documents, noise=tf.constant([1, 3])), first)


def test_equal_seeds_make_equal_models(documents):
    np.testing.assert_array_equal(build(seed=3)(documents), build(seed=3)(documents))
    assert not np.allclose(build(seed=3)(documents), build(seed=4)(documents))


def test_given_word_vectors_are_started_from():
    words = np.random.default_rng(0).standard_normal((12, 8)).astype(np.float32)
    found = [v for v in build(words=words).trainable_variables if v.shape == words.shape]
    assert any(np.array_equal(v, words) for v in found)


def test_every_weight_is_learnt_from(documents):
    model = build()
    with tf.GradientTape() as tape:
        mixed = documents._replace(has_vector=np.array([1, 0], np.float32))
        loss = tf.reduce_sum(model(mixed, noise=TRAINING) ** 2)
    assert all(g is not None for g in tape.gradient(loss, model.trainable_variables))


def averages(model):
    tower = model._tower._stack
    return [v.numpy() for v in tower.variables if not v.trainable]
