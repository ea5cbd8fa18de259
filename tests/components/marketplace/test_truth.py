"""Grades: what an editor who knew the member's goal would say."""

import numpy as np
import pytest

from components.marketplace.catalogue import build_catalogue
from components.marketplace.errors import MarketplaceError
from components.marketplace.queries import FORMS
from components.marketplace.truth import BAD, FAIR, GOOD, PERFECT, UNASKED, Truth
from components.text.render import entity_text


@pytest.fixture(scope="module")
def catalogue(config):
    return build_catalogue(config, seed=1)


@pytest.fixture
def member(market):
    """A member, with what the catalogue calls the member's goal."""
    row = 7
    return market.truth.members[row], market.truth.goals[row]


def grade(market, member_id, text):
    return market.truth.grade([member_id], [[text]])[0, 0]


def query(catalogue, goal, form, style=0):
    o, s, z = goal
    return catalogue.queries.texts[catalogue.queries.forms[o, s, z, FORMS.index(form), style]]


@pytest.mark.parametrize("style", [0, 1], ids=["written out", "abbreviated"])
@pytest.mark.parametrize("form", ["name", "speciality name", "level name", "tool", "craft"])
def test_the_goal_put_into_words_is_perfect(market, catalogue, member, form, style):
    who, goal = member
    assert grade(market, who, query(catalogue, goal, form, style)) == PERFECT


def test_another_speciality_is_good(market, catalogue, member):
    who, (o, s, z) = member
    other = (s + 1) % catalogue.occupations.speciality_ids.shape[1]
    assert grade(market, who, query(catalogue, (o, other, z), "speciality name")) == GOOD


def test_a_word_for_many_occupations_is_only_good(market, catalogue, member):
    who, goal = member
    assert grade(market, who, query(catalogue, goal, "head")) == GOOD


def test_where_members_turn_to_next_is_fair_and_a_stranger_is_bad(market, catalogue, member):
    who, (o, _, z) = member
    onward = catalogue.occupations.neighbours[o, 0]
    stranger = int(np.argmin(catalogue.occupations.closeness[o]))
    assert grade(market, who, query(catalogue, (onward, 0, z), "speciality name")) == FAIR
    assert grade(market, who, query(catalogue, (stranger, 0, z), "speciality name")) == BAD


def test_a_place_added_to_a_query_does_not_change_its_grade(market, catalogue, member):
    who, goal = member
    text = query(catalogue, goal, "name")
    for extra in ("remote", "new york", "oklahoma city"):
        assert grade(market, who, f"{text} {extra}") == PERFECT


def test_a_text_that_the_marketplace_does_not_know_is_bad(market, member):
    assert grade(market, member[0], "unicorn whisperer") == BAD


def test_missing_places_are_not_graded(market, member):
    who = member[0]
    grades = market.truth.grade([who, who], [["unicorn whisperer", ""], []])
    assert grades.tolist() == [[BAD, UNASKED], [UNASKED, UNASKED]]


def test_every_posting_is_known_by_the_text_that_its_label_has(market):
    for company, title in zip(market.postings.company, market.postings.title, strict=True):
        assert entity_text(company=company, title=title) in market.truth.meanings


def test_every_search_has_a_meaning_for_its_member(market):
    searches = market.actions[market.actions.action == "JOB_SEARCH"].drop_duplicates("query")
    texts = [[entity_text(query=text)] for text in searches["query"]]
    grades = market.truth.grade(searches.member_id.tolist(), texts)
    assert (grades > BAD).mean() > 0.8


def test_occupations_are_named_for_colouring_a_map(market, catalogue, member):
    who, goal = member
    assert market.truth.occupation([who])[0] == catalogue.occupations.names[goal[0]]
    families = market.truth.family(market.truth.members[:200])
    assert 2 <= len(set(families)) <= 8


def test_a_stranger_is_refused_by_name(market):
    with pytest.raises(MarketplaceError, match="'nobody'"):
        market.truth.occupation(["nobody"])


def test_a_directory_without_truth_is_refused_by_name(tmp_path):
    with pytest.raises(MarketplaceError, match=str(tmp_path)):
        Truth.open(tmp_path)
