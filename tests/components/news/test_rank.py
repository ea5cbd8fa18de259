"""Ranking news from feed to tables: what is learnt, what is written, and going on when killed."""

import json
import os
import shutil
import signal

import numpy as np
import pytest

from components.news import training, vectors
from components.news.config import COMBINATIONS
from components.news.errors import NewsError
from components.news.impressions import Impressions
from components.news.measure import CLICKED, MEASURES, RANDOM
from components.news.metrics import figures_of
from components.news.predictions import read_predictions
from components.news.rank import rank_news
from components.ranking.keras import tf
from tests.components.news.conftest import tiny, write_feed


def run(feed, encoder, home, *, seed=0, pretrained=None, **changes):
    places = {"pretrained": pretrained, "seed": seed, "checkpoints": home / "checkpoints"}
    return rank_news(feed, encoder, home / "ranked", tiny(**changes), **places)


@pytest.fixture(scope="module")
def ranked(feed, encoder, tmp_path_factory):
    home = tmp_path_factory.mktemp("ranked")
    return home, run(feed, encoder, home)


def impressions_of(home):
    return Impressions.open(next((home / "checkpoints").iterdir()) / "impressions")


def test_every_combination_ranks_better_than_chance_and_popularity(ranked):
    rows = {row["combination"]: row for row in ranked[1]["mind"]}
    assert list(rows) == [RANDOM, CLICKED, *COMBINATIONS]
    for combination in COMBINATIONS:
        best_floor = max(rows[RANDOM]["auc_high"], rows[CLICKED]["auc_high"])
        assert rows[combination]["auc_low"] > best_floor
        assert rows[combination]["impressions"] <= 80
        assert rows[combination]["steps"] == 60
    assert rows["u,v,|u-v|"]["published_ndcg@10"] == 0.431


def test_figures_stand_within_their_intervals(ranked):
    for row in ranked[1]["mind"]:
        for measure in MEASURES.values():
            assert row[f"{measure}_low"] <= row[measure] <= row[f"{measure}_high"]


def test_combinations_are_compared_with_all_before_them(ranked):
    rows = [row for row in ranked[1]["mind_differences"] if row["measure"] == "auc"]
    pairs = [(row["method"], row["against"]) for row in rows]
    assert len(pairs) == 2 + 3 + 4
    assert ("u,v,|u-v|", "u*v") in pairs
    published = {pair: row.get("published") for pair, row in zip(pairs, rows, strict=True)}
    assert published["u,v,|u-v|", "u*v"] == pytest.approx(0.018)
    assert published["u*v", RANDOM] is None


def test_tables_are_written_as_they_are_returned(ranked):
    home, tables = ranked
    assert json.loads((home / "ranked" / "measured.json").read_text()) == tables


def test_evaluations_are_logged_by_combination(ranked):
    lines = (ranked[0] / "ranked" / "log.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    assert [entry["combination"] for entry in log[::2]] == list(COMBINATIONS)
    assert [entry["step"] for entry in log] == [30, 60] * 3
    assert log[1]["loss"] < log[0]["loss"]


def test_the_test_fold_is_predicted_in_the_order_of_its_file(ranked, site):
    ids, _, offsets = read_predictions(ranked[0] / "ranked" / "prediction.txt")
    pages = site[1]["test"]
    assert ids.tolist() == [page["impression_id"] for page in pages]
    assert np.diff(offsets).tolist() == [len(page["item_ids"]) for page in pages]


def test_predictions_of_the_dev_fold_have_the_figures_that_were_measured(site, encoder, tmp_path):
    items, folds = site
    feed = write_feed(tmp_path / "feed", folds["train"] + folds["dev"], items)
    tables = run(feed, encoder, tmp_path, combinations=("u*v",))
    ids, ranks, offsets = read_predictions(tmp_path / "ranked" / "prediction.txt")
    clicks = [[o == "VIEW" for o in page["outcomes"]] for page in folds["dev"]]
    assert ids.tolist() == [page["impression_id"] for page in folds["dev"]]
    figures = figures_of(ranks, np.concatenate(clicks), offsets)
    row = tables["mind"][-1]
    for field, measure in MEASURES.items():
        assert np.nanmean(getattr(figures, field)) == pytest.approx(row[measure])


def test_the_saved_model_is_that_of_the_best_combination(ranked):
    about = json.loads((ranked[0] / "ranked" / "ranker.json").read_text())
    rows = {row["combination"]: row for row in ranked[1]["mind"]}
    best = max(COMBINATIONS, key=lambda combination: rows[combination]["validation_auc"])
    assert about["combination"] == best
    loaded = tf.saved_model.load(str(ranked[0] / "ranked" / "saved_model"))
    inputs = loaded.signatures["serving_default"].structured_input_signature[1]
    assert inputs["users"].shape[1] == about["dimension"]


def timeless(tables):
    return {
        name: [
            {k: v for k, v in row.items() if k not in ("steps_per_second", "peak_memory")}
            for row in rows
        ]
        for name, rows in tables.items()
    }


def test_the_same_seed_gives_the_same(ranked, feed, encoder, tmp_path):
    again = run(feed, encoder, tmp_path)
    assert timeless(again) == timeless(ranked[1])
    first, second = (home / "ranked" / "prediction.zip" for home in (ranked[0], tmp_path))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("killed_at", [13, 150])
def test_a_killed_run_ends_as_one_that_was_not(
    ranked, feed, encoder, tmp_path, monkeypatch, killed_at
):
    real, taken = training.training_pairs, []

    def count(*arguments, **options):
        taken.append(options["step"])
        return real(*arguments, **options)

    def kill(*arguments, **options):
        if len(taken) + 1 == killed_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return count(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(training, "training_pairs", kill)
        with pytest.raises(SystemExit):
            run(feed, encoder, tmp_path)
    assert not (tmp_path / "ranked").exists()
    monkeypatch.setattr(
        training, "training_pairs", lambda *a, **o: taken.append(0) or real(*a, **o)
    )
    assert timeless(run(feed, encoder, tmp_path)) == timeless(ranked[1])
    assert len(taken) == 3 * 60


def test_vectors_that_a_killed_run_encoded_are_not_encoded_again(
    ranked, feed, encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(vectors, "ROWS_AT_ONCE", 20)
    real, encoded = vectors.Embedder.embed, []

    def embed(self, documents):
        if len(encoded) == 3:
            raise KeyboardInterrupt
        encoded.append(len(documents))
        return real(self, documents)

    with monkeypatch.context() as patched:
        patched.setattr(vectors.Embedder, "embed", embed)
        with pytest.raises(KeyboardInterrupt):
            run(feed, encoder, tmp_path)
    again = []
    monkeypatch.setattr(
        vectors.Embedder, "embed", lambda self, d: again.append(len(d)) or real(self, d)
    )
    assert timeless(run(feed, encoder, tmp_path)) == timeless(ranked[1])
    impressions = impressions_of(tmp_path)
    assert sum(encoded) + sum(again) == len(impressions.histories) + 90


def test_another_seed_or_setting_does_not_take_up_the_same_checkpoints(
    ranked, feed, encoder, tmp_path
):
    shutil.copytree(ranked[0] / "checkpoints", tmp_path / "checkpoints")
    other = run(feed, encoder, tmp_path, seed=1, combinations=("u*v",))
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    assert other["mind"][-1]["auc"] != ranked[1]["mind"][2]["auc"]


def test_nothing_was_clicked(site, encoder, tmp_path):
    items, folds = site
    pages = [page | {"outcomes": [""] * len(page["item_ids"])} for page in folds["train"]]
    feed = write_feed(tmp_path / "feed", pages + folds["dev"], items)
    with pytest.raises(NewsError, match="nothing to learn from"):
        run(feed, encoder, tmp_path)


@pytest.mark.parametrize("clicked", [None, "", "VIEW"])
def test_there_is_nothing_to_measure_on(site, encoder, tmp_path, clicked):
    items, folds = site
    dev = [page | {"outcomes": [clicked] * len(page["item_ids"])} for page in folds["dev"]]
    feed = write_feed(
        tmp_path / "feed", folds["train"] + (dev if clicked is not None else []), items
    )
    with pytest.raises(NewsError, match="dev fold"):
        run(feed, encoder, tmp_path)


def test_items_without_text_and_unknown_ones_are_ranked_like_others(site, encoder, tmp_path):
    items, folds = site
    named = [item | {"title": None} if item["item_id"] == "N3" else item for item in items[:-5]]
    feed = write_feed(tmp_path / "feed", folds["train"] + folds["dev"], named)
    tables = run(feed, encoder, tmp_path, combinations=("u,v,|u-v|",), steps=2)
    assert tables["mind"][-1]["impressions"] > 70
    _, ranks, offsets = read_predictions(tmp_path / "ranked" / "prediction.txt")
    assert len(ranks) == offsets[-1] == sum(len(page["item_ids"]) for page in folds["dev"])


def test_nobody_has_read_anything(site, encoder, tmp_path):
    items, folds = site
    pages = [page | {"history": []} for page in folds["train"] + folds["dev"]]
    feed = write_feed(tmp_path / "feed", pages, items)
    tables = run(feed, encoder, tmp_path, steps=2)
    assert all(np.isfinite(row["auc"]) for row in tables["mind"])


def test_a_loss_that_is_no_number_says_what_to_change(feed, encoder, tmp_path):
    with pytest.raises(NewsError, match="learning_rate"):
        run(feed, encoder, tmp_path, learning_rate=1e20)


def test_losses_of_pretraining_stand_beside_the_published_ones(ranked, feed, encoder, tmp_path):
    shutil.copytree(ranked[0] / "checkpoints", tmp_path / "checkpoints")
    losses = {"validation_mlm_loss": 3.0, "validation_nsp_loss": 0.5}
    log = [{"step": 1, "loss": 5.0}, {"step": 2, "loss": 4.0, **losses}, {"step": 3, "loss": 3.9}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    row = run(feed, encoder, tmp_path, pretrained=tmp_path)["mind_pretraining"][0]
    assert row == {
        "steps": 2,
        "mlm_loss": 3.0,
        "published_mlm_loss": 1.069,
        "nsp_loss": 0.5,
        "published_nsp_loss": 0.507,
    }
