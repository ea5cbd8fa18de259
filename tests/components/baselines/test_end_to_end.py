"""Networks over words learn members' labels, and keep what they say of the test members."""

import json

import numpy as np
import pytest
import torch

from components.activity.config import JOBS, SplitConfig
from components.baselines import end_to_end
from components.baselines.config import BaselinesConfig
from components.baselines.end_to_end import Inputs, train_end_to_end
from components.baselines.errors import BaselineError
from components.baselines.fasttext import VECTORS, WORDS
from components.baselines.networks import FeedForward
from components.baselines.predictions import read_predictions
from components.encoder.heads import LabelLayer
from components.labels.config import ExamplesConfig
from components.labels.draw import draw_test_rows
from components.labels.examples import Examples, build_examples
from tests.components.baselines.trails import posting, search, write_sessions

MEMBERS = 90
TRADES = ("nurse", "engineer", "teacher")
"""Who views a trade's postings searches for the trade, and then for its master."""

METHODS = ("fastText+e2e", "CNN+e2e")
SMALL = {
    "fastText+e2e": {"epochs": 12, "batch": 8, "learning_rate": 0.02, "units": (8, 8)},
    "CNN+e2e": {
        "epochs": 8,
        "batch": 8,
        "learning_rate": 0.01,
        "widths": (2, 3),
        "filters": 4,
        "units": 8,
    },
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Products as small as these take several times as long on two threads of a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("inputs")
    trails = {}
    for number in range(MEMBERS):
        trade = TRADES[number % 3]
        own = [posting("VIEW", None, trade, session=1), search(trade, session=2)]
        own += [posting("VIEW", "acme", trade, session=3 + i) for i in range(2)]
        trails[f"m{number:03d}"] = [*own, search(f"master {trade}", session=5)]
    sessions = write_sessions(root / "sessions", trails)
    build_examples(
        sessions,
        root / "examples",
        ExamplesConfig(),
        JOBS,
        split=SplitConfig(validation=0.2, test=0.2),
        seed=3,
    )
    words = ["VIEW", "JOB_SEARCH", "c_acme", *TRADES]
    (root / "words").mkdir()
    (root / "words" / WORDS).write_text(json.dumps(words))
    vectors = np.random.default_rng(1).normal(size=(len(words), 6)).astype(np.float32)
    np.save(root / "words" / VECTORS, vectors)
    return Inputs(sessions, root / "examples", root / "words")


def learn(method, inputs, target, *, seed=3, **changes):
    section = "cnn" if method == "CNN+e2e" else "words_end_to_end"
    log = train_end_to_end(
        method,
        inputs,
        target,
        BaselinesConfig(**{section: SMALL[method] | changes}),
        members=100,
        depth=10,
        seed=seed,
        checkpoints=target.with_name("checkpoints"),
    )
    found = read_predictions(target)
    assert found.method == method
    return found, log


def said(learnt):
    predictions, _ = learnt
    return {name: own.labels.tolist() for name, own in predictions.datasets.items()}


@pytest.mark.parametrize("method", METHODS)
def test_what_goes_with_the_words_is_learnt(inputs, tmp_path, method):
    found, _ = learn(method, inputs, tmp_path / "said")
    data = Examples.open(inputs.examples)
    assert found.about["validation_p@1"] == 1
    assert found.about["parameters"] > 0
    assert set(found.datasets) == {"D1", "D1-new", "D2"}
    for name, own in found.datasets.items():
        rows, truth = draw_test_rows(data, name, members=100, seed=3)
        assert own.rows.tolist() == rows.tolist()
        assert own.labels.shape == (len(rows), len(data.label_texts))
        if name != "D1":  # A network of D2's labels knows not which of them are yet to come.
            assert truth[np.arange(len(rows)), own.labels[:, 0]].all()


@pytest.mark.parametrize("method", METHODS)
def test_on_d1_new_nobody_is_given_their_past(inputs, tmp_path, method):
    found, _ = learn(method, inputs, tmp_path / "said", epochs=0.5)
    past = Examples.open(inputs.examples).context
    for row, labels in zip(*found.datasets["D1-new"], strict=True):
        barred = set(past[[row]].indices)
        assert not barred & set(labels.tolist())
        assert list(labels).count(-1) == len(barred)


@pytest.mark.parametrize("method", METHODS)
def test_two_runs_of_one_seed_learn_and_say_the_same(inputs, tmp_path, method):
    def run(name, seed):
        learnt = learn(method, inputs, tmp_path / name / "said", epochs=1, seed=seed)
        return [entry["loss"] for entry in learnt[1]], said(learnt)

    one = run("one", 3)
    assert run("two", 3) == one
    assert run("three", 4)[0] != one[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_stopped_goes_on_and_says_what_one_that_was_not_says(
    inputs, tmp_path, method, monkeypatch
):
    short = {"epochs": 2, "dropout": 0.2, "checkpoint_seconds": 0}
    whole = said(learn(method, inputs, tmp_path / "whole" / "said", **short))
    batch = end_to_end._LabelTask.batch

    def stopping(task, step, part):
        if step == task.steps // 2:
            raise KeyboardInterrupt
        return batch(task, step, part)

    monkeypatch.setattr(end_to_end._LabelTask, "batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        learn(method, inputs, tmp_path / "cut" / "said", **short)
    assert not (tmp_path / "cut" / "said").exists()
    monkeypatch.setattr(end_to_end._LabelTask, "batch", batch)
    assert said(learn(method, inputs, tmp_path / "cut" / "said", **short)) == whole


def test_the_network_kept_is_the_one_that_served_validation_members_best(inputs, tmp_path):
    # So high a rate undoes much of what was learnt before.
    rates = {"epochs": 4, "learning_rate": 30.0, "label_learning_rate": 30.0}
    found, log = learn("fastText+e2e", inputs, tmp_path / "said", **rates)
    served = [entry["validation_p@1"] for entry in log if "validation_p@1" in entry]
    assert min(served) < max(served)
    assert found.about["validation_p@1"] == pytest.approx(max(served))


def test_a_network_that_serves_worse_does_not_replace_the_one_kept():
    labels = LabelLayer(3, torch.full((2,), 0.5), dropout=0, chunk=8)
    kept = end_to_end._Kept(end_to_end._Classifier(FeedForward(4, (3,)), labels))

    def bias_kept_of(bias, precision):
        kept.network.labels.bias.data.fill_(bias)
        kept.offer(precision)
        return kept.best.labels.bias.tolist()[0]

    offered = [(1, 0.5), (2, 0.4), (3, 0.5), (4, 0.6), (5, 0.1)]
    assert [bias_kept_of(*one) for one in offered] == [1, 1, 3, 4, 4]


def test_without_validation_members_the_last_network_is_kept(inputs, tmp_path, monkeypatch):
    select = Examples.select
    monkeypatch.setattr(
        Examples,
        "select",
        lambda self, dataset, side: tuple(
            part[:0] if side == "validation" else part for part in select(self, dataset, side)
        ),
    )
    found, log = learn("fastText+e2e", inputs, tmp_path / "said")
    assert "validation_p@1" not in log[-1]
    assert "validation_p@1" not in found.about
    rows, truth = draw_test_rows(Examples.open(inputs.examples), "D2", members=100, seed=3)
    assert truth[np.arange(len(rows)), found.datasets["D2"].labels[:, 0]].all()


def test_nothing_to_learn_is_an_error(inputs, tmp_path, monkeypatch):
    select = Examples.select
    monkeypatch.setattr(
        Examples,
        "select",
        lambda self, dataset, side: tuple(
            part[:0] if side == "train" else part for part in select(self, dataset, side)
        ),
    )
    with pytest.raises(BaselineError, match="no training example has a label of D2"):
        learn("CNN+e2e", inputs, tmp_path / "said")


def test_a_batch_of_one_example_cannot_be_normalised():
    with pytest.raises(ValueError, match="batches of one"):
        BaselinesConfig(words_end_to_end={"batch": 4, "accumulate": 4})
