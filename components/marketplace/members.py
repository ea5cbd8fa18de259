"""Who the members are: what they want, how that changes, and how they use the marketplace."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.catalogue import INDUSTRIES, LEVELS, Catalogue, draw
from components.marketplace.config import MarketplaceConfig
from components.marketplace.words import CITIES

GOALS = 3
LEVEL_SHARES = (0.22, 0.4, 0.26, 0.12)


@dataclass(frozen=True, slots=True)
class Members:
    """One chunk of members; every array has one row per member.

    Attributes:
        first: number of the chunk's first member.
        visits: visits to the marketplace, int64[n].
        searches: whether the member ever searches, bool[n].
        drive: how much of the activity is active search for a job, 0 to 1, float64[n].
        terse: 1 where the member abbreviates, int64[n].
        city: home city, int64[n]; `choosy`: whether a posting elsewhere counts less, bool[n].
        appetite: added to the log odds of applying, float64[n].
        ability: added to the log odds of a good answer, float64[n].
        goals: how many goals follow each other, 1 to 3, int64[n].
        until: share of the visits after which goal j ends, float64[n, 3].
        occupation, speciality, level, industry: of each goal, int64[n, 3]; goals beyond the last
            repeat it.
    """

    first: int
    visits: NDArray[np.int64]
    searches: NDArray[np.bool_]
    drive: NDArray[np.float64]
    terse: NDArray[np.int64]
    city: NDArray[np.int64]
    choosy: NDArray[np.bool_]
    appetite: NDArray[np.float64]
    ability: NDArray[np.float64]
    goals: NDArray[np.int64]
    until: NDArray[np.float64]
    occupation: NDArray[np.int64]
    speciality: NDArray[np.int64]
    level: NDArray[np.int64]
    industry: NDArray[np.int64]


def draw_members(
    catalogue: Catalogue,
    config: MarketplaceConfig,
    rng: np.random.Generator,
    *,
    first: int,
    count: int,
) -> Members:
    """Draw the latent traits of members `first` to `first + count - 1`."""
    visits = _visits(config, rng, count)
    drive = rng.beta(1.5, 1.6, count)
    # Members who never search are mostly the passive ones, who are reached by notifications.
    reluctance = rng.random(count) + 0.5 * drive
    searches = reluctance.argsort().argsort() >= round(config.never_search * count)
    goals, until = _episodes(config, rng, visits)
    return Members(
        first=first,
        visits=visits,
        searches=searches,
        drive=drive,
        terse=(rng.random(count) < 0.3).astype(np.int64),
        city=(len(CITIES) * rng.random(count) ** 2).astype(np.int64),
        choosy=rng.random(count) < 0.6,
        appetite=rng.normal(0, 1.2, count),
        ability=rng.normal(0, 1, count),
        goals=goals,
        until=until,
        **_wishes(catalogue, rng, goals),
    )


def _visits(config: MarketplaceConfig, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Power-law visits with the configured mean, at least one each."""
    tail = config.activity_exponent
    draws = rng.pareto(tail, count) * (config.sessions_per_member - 0.5) * (tail - 1)
    return (1 + draws).astype(np.int64).clip(1, config.most_sessions)


def _episodes(
    config: MarketplaceConfig, rng: np.random.Generator, visits: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    count = len(visits)
    changes = (rng.random(count) < config.drift).astype(np.int64)
    changes += (changes > 0) & (rng.random(count) < 0.25)
    cuts = rng.uniform(0.2, 0.9, (count, GOALS - 1))
    cuts[changes < 2, 1] = 1
    cuts[changes < 1, 0] = 1
    until = np.ones((count, GOALS))
    until[:, : GOALS - 1] = np.sort(cuts, axis=1)
    return changes + 1, until


def _wishes(
    catalogue: Catalogue, rng: np.random.Generator, goals: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """First goals by popularity; later goals follow from the earlier ones.

    Half of the changes take a step on the graph of related occupations (mostly to the closest
    ones), and a speciality that the new occupation has too is kept. A quarter change the
    speciality, a quarter aim a level higher.
    """
    occupations, count = catalogue.occupations, len(goals)
    wishes = {
        n: np.empty((count, GOALS), np.int64)
        for n in ("occupation", "speciality", "level", "industry")
    }
    o = rng.choice(len(occupations.popularity), count, p=occupations.popularity)
    s = draw(rng, occupations.speciality_shares[o])
    z = rng.choice(LEVELS, count, p=LEVEL_SHARES)
    industry = _industry(occupations.families[o], rng)
    for goal in range(GOALS):
        if goal:
            luck = rng.random(count)
            changes = goals > goal
            leaves, turns, rises = luck < 0.5, (luck >= 0.5) & (luck < 0.75), luck >= 0.75
            turns |= rises & (z == LEVELS - 1)
            onward = occupations.neighbours[o, draw(rng, occupations.steps[o])]
            same = occupations.speciality_ids[onward] == occupations.speciality_ids[o, s][:, None]
            fresh = draw(rng, occupations.speciality_shares[o])
            carried = np.where(same.any(1), same.argmax(1), fresh)
            moved = leaves & changes & (occupations.families[onward] != occupations.families[o])
            industry = np.where(moved, _industry(occupations.families[onward], rng), industry)
            s = np.where(changes & leaves, carried, np.where(changes & turns, fresh, s))
            o = np.where(changes & leaves, onward, o)
            z = np.where(changes & rises, np.minimum(z + 1, LEVELS - 1), z)
        for name, value in zip(wishes, (o, s, z, industry), strict=True):
            wishes[name][:, goal] = value
    return wishes


def _industry(families: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    own = families * 2 + rng.integers(0, 2, len(families))
    return np.where(rng.random(len(own)) < 0.85, own, rng.integers(0, len(INDUSTRIES), len(own)))
