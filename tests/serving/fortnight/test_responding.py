"""What becomes of postings that were served: actions by relevance, predicted and real hires."""

import numpy as np
import pytest

from components.activity.split import TEST, TRAIN, VALIDATION
from components.features.config import FeaturesConfig
from components.features.tables import build_tables
from components.hires.training import train_hires
from components.marketplace.codes import APPLY, IGNORED
from components.marketplace.response import LUCK, PLACES
from serving.fortnight.errors import FortnightError
from serving.fortnight.responding import Judge
from tests.components.features.feed import Feed
from tests.components.hires.conftest import SMALL

COUNT = 200


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Feature tables, and a model of hires from a feed in which every other member is hired."""
    feed = Feed(tmp_path_factory.mktemp("hires"))
    for number in range(80):
        member, side = f"m{number:03d}", (TRAIN, TRAIN, VALIDATION, TEST)[number // 2 % 4]
        items = ["j1", "j2"] * 3
        days = [(None, {item: "APPLY"}) for item in items]
        feed.member(member, side, days[:3], [*days[3:], ("nurse", {"j1": ""}), ("nurse", {})])
        response = "confirmed_hire" if number % 2 else "rejected"
        for day, item in enumerate(items, start=1):
            feed.answer(member, item, response, applied=day, answered=day + 0.5)
    home = feed.write()
    places = home / "feed", home / "sessions", home / "features"
    build_tables(*places, FeaturesConfig(), examples=home / "examples")
    train_hires(*places, home / "examples", home / "hires", SMALL, seed=1)
    return home


def shown(judge, *, appetite=5.0):
    """Show everybody a page of one posting per place."""
    member = np.arange(COUNT)
    pages = [[int(posting) for posting in range(row, row + PLACES)] for row in member]
    rng = np.random.default_rng(0)
    luck = rng.random((LUCK, COUNT, PLACES), dtype=np.float32)
    return judge.respond(member, pages, luck=luck, appetite=np.full(COUNT, appetite), rng=rng)


def judge_of(market, home):
    return Judge(
        market.population, feed=market.feed, features=home / "features", hires=home / "hires"
    )


def test_applications_and_nothing_else_have_a_predicted_and_perhaps_a_real_hire(market, model):
    judge = judge_of(market, model)
    found = shown(judge)
    applied = found.outcome == APPLY
    assert judge.unpredicted == ""
    assert applied.sum() > 20
    assert ((found.probability[applied] > 0) & (found.probability[applied] < 1)).all()
    assert not found.probability[~applied].any()
    assert found.hired[applied].mean() < 0.8
    assert not found.hired[~applied].any()


def test_without_a_model_of_hires_none_are_predicted_and_it_says_why(market, tmp_path):
    judge = judge_of(market, tmp_path)
    assert "model.json" in judge.unpredicted
    assert not shown(judge).probability.any()


def test_places_beyond_the_page_are_not_looked_at(market, tmp_path):
    judge = judge_of(market, tmp_path)
    rng = np.random.default_rng(0)
    luck = rng.random((LUCK, 1, PLACES), dtype=np.float32)
    (member, page) = np.zeros(1, np.int64), [list(range(24))]
    found = judge.respond(member, page, luck=luck, appetite=np.zeros(1), rng=rng)
    assert found.posting.tolist() == list(range(PLACES))


def test_what_was_applied_to_is_only_viewed_the_next_time(market, tmp_path):
    judge = judge_of(market, tmp_path)
    first, second = shown(judge), shown(judge)
    assert (first.outcome == APPLY).any()
    assert not (second.outcome == APPLY).any()
    assert ((first.outcome != IGNORED) == (second.outcome != IGNORED)).all()


def test_a_feed_that_is_missing_is_named(market, tmp_path):
    with pytest.raises(FortnightError, match=str(tmp_path / "actions")):
        Judge(market.population, feed=tmp_path, features=tmp_path, hires=tmp_path)
