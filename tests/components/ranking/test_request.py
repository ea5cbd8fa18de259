"""One search ranked as it will be served: the scores are those that were measured."""

from types import SimpleNamespace

import numpy as np
import pytest

from components.activity.split import TEST, TRAIN, VALIDATION
from components.encoder.vectors import load_vectors, save_vectors
from components.features.config import FeaturesConfig
from components.features.tables import build_tables
from components.ranking.config import ListsConfig
from components.ranking.errors import RankingError
from components.ranking.lists import Lists, build_lists
from components.ranking.request import SearchRanker
from components.ranking.scorer import score_lists
from components.ranking.training import train_ranker
from tests.components.features.feed import Feed
from tests.components.ranking.conftest import ENCODER, tiny

CONTEXT = ("nurse", {"j1": "APPLY", "j2": "", "j3": ""})
SEARCHES = [("senior nurse", {"j3": "", "j1": "APPLY", "j2": "VIEW"}), ("nurse", {"j1": "SAVE"})]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Tables, lists, vectors and a ranker of a few members."""
    home = tmp_path_factory.mktemp("run")
    feed = Feed(home / "source")
    for number in range(12):
        side = (TEST, VALIDATION, TRAIN, TRAIN)[number % 4]
        feed.member(f"m{number}", side, [CONTEXT], SEARCHES)
    source = feed.write()
    run = SimpleNamespace(
        **{name: home / name for name in ("features", "lists", "vectors", "ranker")}
    )
    settings = FeaturesConfig(minimum_category_count=1, minimum_word_count=1)
    parts = source / "feed", source / "sessions"
    build_tables(*parts, run.features, settings, examples=source / "examples")
    given = parts[0], run.features, parts[1], source / "examples"
    build_lists(*given, run.lists, ListsConfig(), seed=1)
    vectors = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    save_vectors(run.vectors, vectors, encoder=ENCODER)
    train_ranker(
        run.lists,
        run.vectors,
        run.ranker,
        tiny(steps=5, batch=4, evaluate_every=5),
        tower=True,
        words=None,
        seed=1,
        checkpoints=None,
    )
    return run


@pytest.fixture(scope="module")
def ranker(run):
    return SearchRanker.open(run.ranker, run.features, encoder=ENCODER)


def test_a_request_gets_the_scores_that_its_list_was_measured_by(run, ranker):
    lists, vectors = Lists.open(run.lists), load_vectors(run.vectors)
    measured = iter(score_lists(run.ranker, run.lists, run.vectors, "test"))
    pages = lists.pages().to_pylist()
    for number in lists.select("test"):
        page = pages[number]
        scores = ranker.score(
            page["query"],
            page["item_ids"],
            member=page["member_id"],
            vector=np.array(vectors[lists.example[number]]),
            ts=page["ts"],
        )
        assert scores == pytest.approx([next(measured) for _ in scores], abs=1e-5)


def test_somebody_unknown_gets_a_ranking_too(ranker):
    scores = ranker.score("nurse", ["j1", "j2", "j3"])
    assert np.isfinite(scores).all()
    assert len(set(scores.tolist())) == 3


def test_a_posting_scores_the_same_alone_twice_or_among_others(ranker):
    alone, many = ranker.score("nurse", ["j2"]), ranker.score("nurse", ["j1", "j2", "j2"])
    assert many[1:] == pytest.approx([alone[0], alone[0]], abs=1e-5)


def test_a_posting_that_is_not_in_the_catalogue_and_a_missing_query_can_be_ranked(ranker):
    assert np.isfinite(ranker.score(None, ["gone", "j1"])).all()


def test_what_cannot_be_ranked_is_refused_by_name(run, ranker):
    with pytest.raises(RankingError, match="empty list"):
        ranker.score("nurse", [])
    with pytest.raises(RankingError, match=r"vector: expected float32\[4\]"):
        ranker.score("nurse", ["j1"], vector=np.ones(3, np.float32))
    with pytest.raises(RankingError, match="of encoder other-encoder"):
        SearchRanker.open(run.ranker, run.features, encoder="other-encoder")
