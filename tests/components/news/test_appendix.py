"""The whole of Appendix A in small: from generated traffic to tables, and again after a kill."""

import json
import shutil

import pytest
import torch

from components.activity.config import NEWS
from components.news import appendix
from components.news.appendix import study_news
from components.news.config import COMBINATIONS
from tests.components.news.conftest import TINY

torch.set_num_threads(1)

SETTINGS = {
    "source": {"kind": "news", "users": 150, "items": 300, "entities": 50},
    "vertical": NEWS.model_dump(mode="json"),
    "activity": {"partitions": 2},
    "split": {"validation": 0.1, "test": 0.1},
    "text": {"vocabulary_size": 700},
    "examples": {"windows": {"stride": 3, "minimum_context": 4, "maximum_context": 10}},
    "encoder": {"layers": 1, "hidden": 16, "heads": 1, "max_tokens": 64},
    "pretrain": {"epochs": 0.1, "next_sentence": True, "evaluations": 1},
    "finetune": {"dataset": "D1", "epochs": 0.1, "evaluations": 1},
    "news": {**TINY, "steps": 10, "evaluate_every": 5},
}


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    home = tmp_path_factory.mktemp("study")
    return home, study_news(SETTINGS, home / "out", seed=1, checkpoints=home / "checkpoints")


def test_a_study_ends_with_the_tables_and_a_file_to_hand_in(studied):
    home, tables = studied
    assert json.loads((home / "out" / "measured.json").read_text()) == tables
    assert [row["combination"] for row in tables["mind"]][-3:] == list(COMBINATIONS)
    assert tables["mind_pretraining"][0]["nsp_loss"] > 0
    assert (home / "out" / "prediction.zip").exists()


def test_a_killed_study_does_not_repeat_the_steps_that_are_done(studied, tmp_path, monkeypatch):
    def repeated(*_arguments, **_options):
        raise AssertionError("was done before")

    shutil.copytree(studied[0] / "checkpoints", tmp_path / "checkpoints")
    (work,) = (tmp_path / "checkpoints").iterdir()
    for lost in ("finetuned", "resume", "ranked"):
        shutil.rmtree(work / lost)
    for done in ("ingest_source", "write_sessions", "pretrain"):
        monkeypatch.setattr(appendix, done, repeated)
    options = {"seed": 1, "checkpoints": tmp_path / "checkpoints"}
    again = study_news(SETTINGS, tmp_path / "out", **options)
    for first, second in zip(studied[1]["mind"], again["mind"], strict=True):
        assert first["auc"] == second["auc"]


def test_without_settings_nothing_is_studied(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    assert study_news({}, tmp_path / "out", seed=1, checkpoints=checkpoints) == {}
    assert list((tmp_path / "out").iterdir()) == []
