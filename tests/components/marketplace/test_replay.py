"""What a replay shares with the generator: the members, their responses, the search engine."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.marketplace.codes import APPLY, DISMISS, IGNORED, VIEW
from components.marketplace.errors import MarketplaceError
from components.marketplace.population import Population
from components.marketplace.queries import RESULTS
from components.marketplace.response import LUCK, PLACES, act, answer, relevance
from components.marketplace.searching import NOTHING, SearchEngine
from components.marketplace.truth import PERFECT


@pytest.fixture(scope="module")
def population(config, market):
    return Population.redraw(config, market.truth_path, seed=1)


@pytest.fixture(scope="module")
def engine(population):
    return SearchEngine(population)


def acted(relevance, *, position=0, appetite=0.0, count=20_000):
    fit, places = np.full(count, relevance, np.float32), np.full(count, position)
    luck = np.random.default_rng(0).random((LUCK, count), dtype=np.float32)
    return act(luck, position=places, relevance=fit, appetite=np.full(count, appetite))


def test_the_members_are_those_of_the_generated_marketplace(population, market):
    told = pq.read_table(market.truth_path / "members").to_pandas()
    latest = told[told.latest].sort_values("member_id")
    members, row = population.members, np.arange(len(population.member_ids))
    assert population.member_ids.to_pylist() == latest.member_id.tolist()
    wanted = members.occupation[row, members.goals - 1]
    assert wanted.tolist() == latest.occupation.tolist()
    assert members.city.tolist() == latest.city.tolist()


def test_another_seed_is_not_taken_for_the_same_marketplace(config, market):
    with pytest.raises(MarketplaceError, match="another marketplace"):
        Population.redraw(config, market.truth_path, seed=2)


def test_a_missing_truth_is_named(config, tmp_path):
    with pytest.raises(MarketplaceError, match=str(tmp_path)):
        Population.redraw(config, tmp_path, seed=1)


def test_a_posting_of_the_goal_fits_better_than_any_other(population):
    members, postings = population.members, population.catalogue.postings
    member = np.zeros(len(postings), np.int64)
    goal = members.goals[member] - 1
    fit = relevance(
        population.catalogue,
        members,
        member=member,
        goal=goal,
        posting=np.arange(len(postings)),
    )
    wished = postings.occupation == members.occupation[0, goal[0]]
    wished &= postings.speciality == members.speciality[0, goal[0]]
    assert fit[wished].min() > fit[postings.occupation != members.occupation[0, goal[0]]].mean()
    assert wished[fit.argmax()]


def test_what_fits_is_applied_to_and_what_does_not_is_dismissed():
    good, bad = acted(2.0, appetite=1.0), acted(-0.5)
    assert (good == APPLY).mean() > 10 * max((bad == APPLY).mean(), 1e-4)
    opened = bad != IGNORED
    assert (bad[opened] == DISMISS).mean() > 0.4


def test_places_further_down_are_opened_less():
    share = [(acted(1.5, position=place) != IGNORED).mean() for place in range(PLACES)]
    assert share == sorted(share, reverse=True)
    assert share[0] > 3 * share[-1]


def test_who_only_looks_around_hardly_applies():
    looking, deciding = acted(1.2, appetite=-4.5), acted(1.2)
    assert (looking == APPLY).mean() < 0.1 * (deciding == APPLY).mean()
    assert (looking == VIEW).any()


def test_a_better_fit_is_hired_more_often():
    rng = np.random.default_rng(0)
    none = np.zeros(20_000)
    good, bad = (answer(rng, none + fit, none) for fit in (2.2, 0.6))
    assert (good.kind == 2).mean() > 2 * (bad.kind == 2).mean()
    assert good.answered.mean() > bad.answered.mean()


def test_a_query_finds_what_the_generated_pages_showed_for_it(population, engine, market):
    pages = market.impressions.dropna(subset=["query"])[:400]
    found = engine.find(pages["query"].tolist())
    shown = [{int(item[1:]) for item in items} for items in pages.item_ids]
    shares = [len(own & set(row)) / len(own) for own, row in zip(shown, found, strict=True)]
    assert np.mean(shares) > 0.7  # the rest are fresh postings


def test_an_extra_word_changes_nothing_and_unknown_words_find_nothing(population, engine):
    text = population.catalogue.queries.texts[0]
    plain, extra, unknown = engine.find([text, f"{text} new york", "zzz"])
    assert (plain == extra).all()
    assert (unknown == NOTHING).all()


def test_an_entity_finds_its_posting_first_and_others_like_it(population, engine):
    postings = population.catalogue.postings
    (found,) = engine.find([next(iter(engine.entities))])
    assert found[0] == 0
    assert len(set(found)) == RESULTS
    assert (postings.occupation[found[:5]] == postings.occupation[0]).all()


def test_words_promise_what_the_truth_grades(population, engine, market):
    texts = population.catalogue.queries.texts[::7]
    member = np.arange(200)
    names = population.member_ids.take(member.tolist()).to_pylist()
    grades = market.truth.grade(names, [texts] * len(member))
    promise = engine.promise(texts * len(member), np.repeat(member, len(texts)))
    promise = promise.reshape(grades.shape)
    assert promise[grades == PERFECT].mean() > promise[grades < PERFECT].mean() + 0.8
    assert engine.promise(["zzz"], member[:1]) < promise[grades < PERFECT].mean()
