"""Who visits on a day, what for, and how lucky: drawn before anything is served.

Whatever the services answer, a member comes as often, types the same query and has the same luck at
the same place, so that nothing but what was served can make a difference.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.marketplace.pages import SEARCHING, modes, word_goals
from components.marketplace.population import Population
from components.marketplace.response import DECIDING_SHARE, LUCK, PLACES, RELUCTANCE
from components.marketplace.scene import Scene
from serving.fortnight.config import FortnightConfig

# In a fortnight after everything that is known of them, members search as late in their goals do.
_PHASE = 1.0


class Visits(NamedTuple):
    """A day's visits, n of them, in the order in which they happen.

    Attributes:
        member: int64[n], row of the population.
        query: what the member would type unless a suggestion is taken; "" for who would not search.
        appetite: float64[n], added to the log odds of applying in this visit.
        of_suggestions: float64[n, k], luck at the suggestions.
        of_places: float32[LUCK, n, PLACES], luck at the places of a results page.
        of_recommended: float32[LUCK, n, p], luck at the places of a page of recommendations.
    """

    member: NDArray[np.int64]
    query: list[str]
    appetite: NDArray[np.float64]
    of_suggestions: NDArray[np.float64]
    of_places: NDArray[np.float32]
    of_recommended: NDArray[np.float32]


def draw_visits(
    population: Population, config: FortnightConfig, rng: np.random.Generator
) -> Visits:
    """Draw one day's visits."""
    members, rate = population.members, _rates(population, config.visits / config.days)
    member = rng.permutation(np.repeat(np.arange(len(rate)), rng.poisson(rate)))
    scene = Scene(population.catalogue, population.config, members, rng)
    searches = (modes(scene, member) == SEARCHING) & members.searches[member]
    goal = members.goals[member] - 1
    query, extra = word_goals(scene, member, goal=goal, phase=np.full(len(member), _PHASE))
    texts = population.texts.queries(query, extra, ~searches)
    return Visits(
        member=member,
        query=[text or "" for text in texts.to_pylist()],
        appetite=draw_appetite(population, member, rng),
        of_suggestions=rng.random((len(member), config.suggestions)),
        of_places=rng.random((LUCK, len(member), PLACES), dtype=np.float32),
        of_recommended=rng.random((LUCK, len(member), config.recommended), dtype=np.float32),
    )


def _rates(population: Population, mean: float) -> NDArray[np.float64]:
    """Visits a day: as the members' past ones, but for the most active no more than in the past."""
    past, config = population.members.visits.astype(np.float64), population.config
    most = max(config.most_sessions / config.days, mean)
    rate = free = past * mean / past.mean()
    for _ in range(20):
        rate = np.minimum(free, most)
        free = free * mean / rate.mean()
    return rate


def draw_appetite(
    population: Population, member: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Add to the members' own appetite that in some visits they only look around."""
    decides = rng.random(len(member)) < DECIDING_SHARE
    return population.members.appetite[member] - RELUCTANCE * ~decides
