"""The catalogue: real titles, related occupations, and words that mean more than one thing."""

from collections import Counter

import numpy as np
import pytest

from components.marketplace.catalogue import build_catalogue
from components.marketplace.config import MarketplaceConfig
from components.marketplace.occupations import abbreviate, read_titles
from components.marketplace.queries import RESULTS


@pytest.fixture(scope="module", params=[(8, 2), (120, 10)], ids=["smallest", "large"])
def catalogue(request):
    occupations, specialities = request.param
    config = MarketplaceConfig(
        occupations=occupations, specialities=specialities, postings=20 * occupations + 200
    )
    return build_catalogue(config, seed=2)


def test_occupations_are_real_titles(catalogue):
    real = set(read_titles())
    assert len(real) > 70_000
    assert set(catalogue.occupations.names) <= real


def test_occupations_and_their_specialities_are_distinct(catalogue):
    occupations = catalogue.occupations
    assert len(set(occupations.names)) == len(occupations.names)
    assert all(len(set(row)) == len(row) for row in occupations.specialities)


def test_related_occupations_are_others_and_the_closest(catalogue):
    closeness, neighbours = catalogue.occupations.closeness, catalogue.occupations.neighbours
    for occupation, row in enumerate(neighbours):
        assert occupation not in row
        rest = np.delete(closeness[occupation], [occupation, *row])
        assert closeness[occupation, row].min() >= rest.max(initial=0)


def test_words_and_queries_are_shared_between_occupations(catalogue):
    occupations = catalogue.occupations
    heads, words = Counter(occupations.heads), Counter(sum(occupations.specialities, []))
    assert heads.most_common(1)[0][1] > 1
    assert words.most_common(1)[0][1] > 1
    meanings = {tuple(row) for row in catalogue.queries.meaning[:, :2].tolist()}
    per_query = Counter(query for query, _ in meanings)
    assert per_query.most_common(1)[0][1] > 1


def test_a_search_shows_postings_of_what_it_asks_for_and_some_others(catalogue):
    ranked, postings = catalogue.ranked, catalogue.postings
    assert ranked.shape[-1] == RESULTS
    for occupation in range(len(catalogue.occupations.names)):
        found = postings.occupation[ranked[occupation, -1, -1]]
        assert found[0] == occupation
        assert 0 < (found != occupation).mean() < 0.9


def test_a_speciality_comes_first_where_it_is_asked_for(catalogue):
    postings, shape = catalogue.postings, catalogue.occupations.speciality_ids.shape
    first = catalogue.ranked[:, :-1, -1, 0]
    wanted = np.broadcast_to(np.arange(shape[1]), shape)
    offered = np.zeros((shape[0], shape[1]), bool)
    offered[postings.occupation, postings.speciality] = True
    assert (postings.speciality[first] == wanted)[offered].mean() > 0.6


@pytest.mark.parametrize(
    ("text", "short"),
    [("software engineer", "sw eng"), ("nurse", "rn"), ("saw operator", "saw op"), ("dog", "dog")],
)
def test_people_abbreviate(text, short):
    assert abbreviate(text) == short
