"""Sequence baselines from members' trails to ranked labels."""

import json
import os
import signal

import numpy as np
import pytest

from components.activity.config import JOBS, SplitConfig, Vertical
from components.baselines import sequence
from components.baselines.end_to_end import Inputs
from components.baselines.fasttext import VECTORS, WORDS
from components.baselines.predictions import read_predictions
from components.baselines.sequence import MODELS, train_sequence_baseline
from components.baselines.sequence_config import SequenceConfig
from components.labels.config import ExamplesConfig
from components.labels.draw import draw_test_rows
from components.labels.examples import Examples, build_examples
from tests.components.baselines.trails import posting, search, write_sessions

MEMBERS = 60
TRADES = ("nurse", "engineer", "teacher")
"""Who searches for a trade goes on to search for its master; every fifth never searches."""

SMALL = SequenceConfig(
    hidden=16,
    batch=10,
    epochs=30,
    learning_rate=0.03,
    entropy=0.0,
    warmup=0.0,
    dropout=0.0,
    turns=4,
    words=3,
    beam=4,
    minimum_count=1,
)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("inputs")
    trails = {}
    for number in range(MEMBERS):
        trade = TRADES[number % 3]
        asked = [search(trade, 1), search(f"master {trade}", 5)]
        viewed = [posting("VIEW", None, trade, session) for session in range(1, 5)]
        viewed.append(posting("APPLY", None, trade, 5))
        own = viewed if number % 5 == 4 else [*asked, *viewed]
        trails[f"m{number:03d}"] = sorted(own, key=lambda action: action["session"])
    sessions = write_sessions(root / "sessions", trails)
    split = SplitConfig(validation=0.1, test=0.3)
    build_examples(sessions, root / "examples", ExamplesConfig(), JOBS, split=split, seed=3)
    (root / "words").mkdir()
    (root / "words" / WORDS).write_text(json.dumps(TRADES))
    vectors = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    np.save(root / "words" / VECTORS, vectors)
    return Inputs(sessions, root / "examples", root / "words")


def learn(method, inputs, target, *, vertical=JOBS, config=SMALL):
    options = {"members": 100, "depth": 5, "seed": 3, "vertical": vertical}
    checkpoints = target.with_name("checkpoints")
    train_sequence_baseline(method, inputs, target, config, checkpoints=checkpoints, **options)
    return read_predictions(target)


def said(predictions):
    return {name: own.labels.tolist() for name, own in predictions.datasets.items()}


@pytest.mark.parametrize("method", MODELS)
def test_the_next_query_is_suggested_to_members_who_searched(inputs, tmp_path, method):
    found = learn(method, inputs, tmp_path / "said")
    data = Examples.open(inputs.examples)
    searched = data.table["searched"]
    assert set(found.datasets) == {"D1", "D1-new", "D2", "D3"}
    rows, labels = found.datasets["D1"]
    assert rows.tolist() == draw_test_rows(data, "D1", members=100, seed=3)[0].tolist()
    for row, own in zip(rows.tolist(), labels.tolist(), strict=True):
        trade = TRADES[int(data.table["member_id"][row][1:]) % 3]
        expected = data.label_texts.index(f"master {trade}") if searched[row] else -1
        assert own[0] == expected
        known = [label for label in own if label >= 0]
        assert len(known) == len(set(known))
    assert (found.datasets["D3"].labels == -1).all()
    assert 0 < found.about["answered"] < 1
    assert found.about["unknown"] == found.about["unk"] == found.about["repeats"] == 0


def test_on_d1_new_nobody_is_given_their_past(inputs, tmp_path):
    found = learn("ACG", inputs, tmp_path / "said", config=SMALL.model_copy(update={"epochs": 1}))
    past = Examples.open(inputs.examples).context
    for row, labels in zip(*found.datasets["D1-new"], strict=True):
        assert not set(past[[row]].indices) & set(labels.tolist())


@pytest.mark.parametrize("method", ["ACG", "LostNet"])
def test_a_run_that_was_stopped_goes_on_to_the_same_suggestions(
    inputs, tmp_path, method, monkeypatch
):
    config = SMALL.model_copy(update={"epochs": 2, "dropout": 0.2})
    whole = learn(method, inputs, tmp_path / "whole", config=config)
    taken = sequence.NextQueries.batch

    def stop_at_four(self, step, part):
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return taken(self, step, part)

    monkeypatch.setattr(sequence.NextQueries, "batch", stop_at_four)
    with pytest.raises(SystemExit):
        learn(method, inputs, tmp_path / "again", config=config)
    assert not (tmp_path / "again").exists()
    monkeypatch.undo()
    assert (tmp_path / "checkpoints" / "checkpoint.pt").exists()
    again = learn(method, inputs, tmp_path / "again", config=config)
    assert said(again) == said(whole)
    assert again.about["validation_loss"] == whole.about["validation_loss"]


def test_where_nobody_searches_nothing_is_learnt(inputs, tmp_path):
    nobody = Vertical(actions=dict.fromkeys(JOBS.actions, "posting"))
    assert learn("CARS", inputs, tmp_path / "said", vertical=nobody) is None
