"""Training a ranker: what it learns, that it can be stopped, and what it refuses."""

import json
import os
import signal

import numpy as np
import pytest

from components.ranking import checkpoint, training
from components.ranking.data import TrainingData
from components.ranking.errors import RankingError
from components.ranking.keras import tf
from components.ranking.lists import Lists
from components.ranking.scorer import Ranker, score_lists
from components.ranking.training import Trainer, train_ranker
from tests.components.ranking.conftest import (
    CODES,
    CONTINUOUS,
    ENCODER,
    tiny,
    write_lists,
    write_vectors,
)


@pytest.fixture
def train(made, tmp_path):
    def train(name="ranker", *, lists=made.lists, vectors=made.vectors, tower=True, **options):
        settings = {"words": None, "seed": 0, "checkpoints": None} | {
            key: options.pop(key) for key in ("words", "seed", "checkpoints") if key in options
        }
        target = tmp_path / name
        return target, train_ranker(
            lists, vectors, target, tiny(**options), tower=tower, **settings
        )

    return train


def weights_of(ranker):
    stored = tf.train.load_checkpoint(str(ranker / "saved_model" / "variables" / "variables"))
    names = sorted(stored.get_variable_to_shape_map())
    return [stored.get_tensor(name) for name in names if "OBJECT_GRAPH" not in name]


def assert_equal_weights(first, second):
    for a, b in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_array_equal(a, b)


def log_of(ranker):
    return [json.loads(line) for line in (ranker / "log.jsonl").read_text().splitlines()]


def test_the_members_vector_makes_the_order_better(trained, made):
    data = TrainingData.open(made.lists, made.vectors, tiny())
    without = Trainer(data, tiny(), tower=False, seed=0).run(None, "")
    assert trained[1]["ndcg"] > without.best_entry["ndcg"] + 0.02


def test_the_weights_kept_are_the_best_of_the_validation_lists(trained):
    ranker, summary = trained
    log = log_of(ranker)
    assert [entry["step"] for entry in log] == [20, 40, 60]
    assert all({"loss", "validation_loss", "ndcg"} < entry.keys() for entry in log)
    best = max(log, key=lambda entry: entry["ndcg"])
    assert (summary["ndcg"], summary["step"]) == (best["ndcg"], best["step"])
    assert summary["steps"] == 60
    assert log[-1]["loss"] < log[0]["loss"]


def test_what_was_trained_is_written_down(trained):
    about = json.loads((trained[0] / "ranker.json").read_text())
    assert about["encoder"] == ENCODER
    assert about["tower"] is True
    assert about["continuous"] == CONTINUOUS
    assert about["categorical"] == [list(pair) for pair in CODES.items()]
    assert about["config"]["batch"] == 16
    assert about["list_size"] == 25
    assert about["ndcg"] == trained[1]["ndcg"]


def test_a_stopped_run_ends_with_the_weights_of_one_that_was_not(
    trained, train, tmp_path, monkeypatch
):
    assemble = training.training_batch

    def asked_to_end(*arguments, **options):
        if options["step"] == 30:
            os.kill(os.getpid(), signal.SIGTERM)
        return assemble(*arguments, **options)

    monkeypatch.setattr(training, "training_batch", asked_to_end)
    with pytest.raises(SystemExit) as stopped:
        train(checkpoints=tmp_path / "checkpoints")
    assert stopped.value.code == 143
    assert not (tmp_path / "ranker").exists()
    learnt = []
    monkeypatch.setattr(
        training, "training_batch", lambda *a, **o: learnt.append(o["step"]) or assemble(*a, **o)
    )
    found, summary = train(checkpoints=tmp_path / "checkpoints")
    assert learnt == list(range(31, 60)), "it started over"
    assert summary == trained[1]
    assert_equal_weights(found, trained[0])
    assert log_of(found) == log_of(trained[0])


def test_training_ends_when_validation_no_longer_improves(made):
    config = tiny(steps=2000, evaluate_every=5, patience=2)
    data = TrainingData.open(made.lists, made.vectors, config)
    end = Trainer(data, config, tower=False, seed=0).run(None, "")
    assert end.step == end.log[-1]["step"] == end.best_entry["step"] + 10 < 2000


def test_no_lists_make_no_ranker(train, tmp_path):
    (tmp_path / "nothing").mkdir()
    ranker, summary = train(lists=tmp_path / "nothing")
    assert summary == {}
    assert list(ranker.iterdir()) == []
    with pytest.raises(RankingError, match=r"ranker\.json: missing: no ranker was trained"):
        Ranker.open(ranker)


def test_lists_without_any_gain_teach_nothing(train, tmp_path):
    lists = write_lists(tmp_path / "lists", [3] * 20, gainless=1.0)
    with pytest.raises(RankingError, match="lists: no list of a training member has a document"):
        train(lists=lists)
    assert not (tmp_path / "ranker").exists()


def test_gainless_and_one_document_lists_are_scored(trained, made):
    lists = Lists.open(made.lists)
    scores = score_lists(trained[0], made.lists, made.vectors, "test")
    numbers = lists.select("test")
    assert scores.dtype == np.float32
    assert len(scores) == (lists.offsets[numbers + 1] - lists.offsets[numbers]).sum()
    assert np.isfinite(scores).all()


def test_vectors_of_other_examples_are_refused(train, tmp_path):
    vectors = write_vectors(tmp_path / "few", np.zeros(3, int))
    with pytest.raises(RankingError, match=r"few: holds 3 vectors, the lists are of \d+ examples"):
        train(vectors=vectors)


def test_a_loss_that_is_no_number_says_what_to_change(train):
    with pytest.raises(RankingError, match="loss became .* at step .*; lower learning_rate"):
        train(learning_rate=1e30)


def test_damaged_checkpoints_are_named(tmp_path):
    kept = checkpoint.Progress(3, [], [1.0], [np.ones(2)], [], [], {})
    checkpoint.save(tmp_path, kept, "this run")
    assert checkpoint.restore(tmp_path, "this run")._replace(weights=[]) == kept._replace(
        weights=[]
    )
    assert checkpoint.restore(tmp_path, "another run") is None
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RankingError, match=r"checkpoint\.npz: damaged checkpoint .*delete it"):
        checkpoint.restore(tmp_path, "this run")


def test_words_start_from_given_vectors_of_the_same_length(made, tmp_path):
    vectors = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    (tmp_path / "words.json").write_text(json.dumps(["engineer", "pilot"]))
    data = TrainingData.open(made.lists, made.vectors, tiny())
    weights = Trainer(data, tiny(), tower=False, words=tmp_path, seed=0).weights()
    table = next(w for w in weights if w.shape == (10, 8))
    np.testing.assert_allclose(table[3], vectors[0] / np.linalg.norm(vectors[0]), atol=1e-6)
