"""Exported rankers: every signature scores alike, and requests that do not fit are named."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tensorflow_serving.apis import input_pb2

from components.ranking.batches import assemble
from components.ranking.data import Vectors
from components.ranking.errors import RankingError
from components.ranking.keras import tf
from components.ranking.lists import Lists
from components.ranking.scorer import Ranker, score_lists
from tests.components.ranking.conftest import write_lists, write_vectors

SCORED = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
inputs = dict(np.load(sys.argv[2]))
np.save(sys.argv[3], model.signatures["serving_default"](**inputs)["scores"].numpy())
assert "tensorflow_ranking" not in sys.modules
"""


@pytest.fixture(scope="module")
def ranker(trained):
    return Ranker.open(trained[0])


@pytest.fixture(scope="module")
def lists(made):
    return Lists.open(made.lists)


@pytest.fixture(scope="module")
def vectors(made, lists):
    return Vectors.open(made.vectors, lists).rows


@pytest.fixture(scope="module")
def numbers(lists):
    """One list of a cold member, the longest there is, and a few more."""
    sizes = np.diff(lists.offsets)
    return np.array([np.argmax(lists.example < 0), np.argmax(sizes), np.argmin(sizes), 5, 6])


@pytest.fixture(scope="module")
def dense(lists, numbers, vectors):
    """The lists as a client of TensorFlow Serving sends them: padded tensors."""
    sizes = np.diff(lists.offsets)[numbers]
    rows = lists.offsets[numbers][:, None] + np.arange(sizes.max())
    mask = np.arange(sizes.max()) < sizes[:, None]
    rows = np.where(mask, rows, 0)
    example = lists.example[numbers]
    return {
        "query_words": lists.queries[lists.query[numbers]],
        "title_words": lists.titles[lists.title[rows]],
        "company_words": lists.companies[lists.company[rows]],
        "continuous": lists.continuous[rows],
        "categorical": lists.categorical[rows],
        "vector": vectors[np.maximum(example, 0)],
        "has_vector": (example >= 0).astype(np.float32),
        "mask": mask,
    }


@pytest.fixture(scope="module")
def expected(ranker, lists, numbers, vectors):
    batch = assemble(lists, numbers, vectors)
    scores = ranker.score_documents(batch.documents)
    padded = np.full(batch.gains.shape, np.finfo(np.float32).min, np.float32)
    padded[batch.documents.owner, batch.place] = scores
    return padded


def request_of(dense, row):
    kept = dense["mask"][row]
    vector = dense["vector"][row] if dense["has_vector"][row] else None
    names = ("title_words", "company_words", "continuous", "categorical")
    return {"query_words": dense["query_words"][row], "vector": vector} | {
        name: dense[name][row][kept] for name in names
    }


def as_proto(request):
    elwc = input_pb2.ExampleListWithContext()
    fill(elwc.context, query_words=request["query_words"])
    if request["vector"] is not None:
        fill(elwc.context, vector=request["vector"])
    for place in range(len(request["continuous"])):
        names = ("title_words", "company_words", "continuous", "categorical")
        fill(elwc.examples.add(), **{name: request[name][place] for name in names})
    return elwc.SerializeToString()


def fill(example, **features):
    for name, values in features.items():
        feature = example.features.feature[name]
        kind = feature.float_list if values.dtype == np.float32 else feature.int64_list
        kind.value.extend(values.tolist())


def test_padded_tensors_score_as_the_lists_do(ranker, dense, expected):
    tensors = {name: tf.constant(array) for name, array in dense.items()}
    scores = ranker._model.signatures["serving_default"](**tensors)["scores"].numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_serialized_lists_score_as_the_lists_do(ranker, dense, expected):
    protos = [as_proto(request_of(dense, row)) for row in range(len(expected))]
    predict = ranker._model.signatures["tensorflow/serving/predict"]
    scores = predict(examples=tf.constant(protos))["scores"].numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_one_request_scores_as_the_lists_do(ranker, dense, expected):
    for row, scores in enumerate(expected):
        request = request_of(dense, row)
        found = ranker.score(**request)
        assert found.dtype == np.float32
        assert found.shape == (len(request["continuous"]),)
        np.testing.assert_allclose(found, scores[dense["mask"][row]], rtol=1e-4, atol=1e-5)


def test_a_process_that_knows_tensorflow_alone_scores_the_same(trained, dense, expected, tmp_path):
    np.savez(tmp_path / "inputs.npz", **dense)
    found = tmp_path / "scores.npy"
    arguments = [trained[0] / "saved_model", tmp_path / "inputs.npz", found]
    subprocess.run([sys.executable, "-c", SCORED, *map(str, arguments)], check=True)
    np.testing.assert_allclose(np.load(found), expected, rtol=1e-4, atol=1e-5)


def test_a_side_is_scored_in_order(trained, made, ranker, lists, vectors):
    scores = score_lists(trained[0], made.lists, made.vectors, "test")
    last = lists.select("test")[-1:]
    batch = assemble(lists, last, vectors)
    own = ranker.score_documents(batch.documents)
    np.testing.assert_allclose(scores[-len(own) :], own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("query_words", [1, 2, 3], r"query_words: expected int32\[2\], not int64\[3\]"),
        ("title_words", [[1, 2]], r"title_words: expected int32\[L, 3\], not int64\[1, 2\]"),
        ("title_words", np.zeros((0, 3), int), "title_words: an empty list"),
        ("company_words", [[1, 2]] * 9, r"company_words: expected int32\[\d, 2\]"),
        ("continuous", [[1.0]], r"continuous: expected float32\[\d, 3\], not float64\[1, 1\]"),
        ("categorical", [["a", "b"]], r"categorical: expected int32\[\d, 2\]"),
        ("vector", np.zeros(5), r"vector: expected float32\[6\], not float64\[5\]"),
    ],
)
def test_fields_that_do_not_fit_are_named(ranker, dense, field, value, message):
    with pytest.raises(RankingError, match=message):
        ranker.score(**request_of(dense, 1) | {field: value})


def test_vectors_of_another_encoder_are_refused(trained, made, lists, tmp_path):
    others = write_vectors(tmp_path / "v", np.zeros(len(lists.query), int), encoder="encoder-2")
    message = "vectors are of encoder encoder-2, the ranker reads those of encoder-1"
    with pytest.raises(RankingError, match=message):
        score_lists(trained[0], made.lists, others, "test")
    with pytest.raises(RankingError, match=message):
        Ranker.open(trained[0], encoder="encoder-2")


def test_lists_of_other_features_are_refused(trained, made, tmp_path):
    other = write_lists(tmp_path / "lists", [3] * 10)
    about = json.loads((other / "about.json").read_text())
    about["continuous"][1] = "another"
    (other / "about.json").write_text(json.dumps(about))
    with pytest.raises(RankingError, match="lists: continuous differ from those"):
        score_lists(trained[0], other, made.vectors, "test")


def test_a_damaged_ranker_is_named(trained, tmp_path):
    (tmp_path / "ranker").mkdir()
    (tmp_path / "ranker" / "ranker.json").write_text((trained[0] / "ranker.json").read_text())
    with pytest.raises(RankingError, match="ranker: not readable as a ranker"):
        Ranker.open(tmp_path / "ranker")
