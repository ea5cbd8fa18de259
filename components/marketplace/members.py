"""Who the members are: what they want, how that changes, and how they use the marketplace."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.catalogue import Catalogue
from components.marketplace.config import MarketplaceConfig
from components.marketplace.draws import draw
from components.marketplace.occupations import Occupations
from components.marketplace.postings import HOME_INDUSTRY_SHARE, INDUSTRIES, LEVELS
from components.marketplace.words import CITIES

Ints = NDArray[np.int64]

GOALS = 3
LEVEL_SHARES = (0.22, 0.4, 0.26, 0.12)
TERSE_SHARE, CHOOSY_SHARE = 0.3, 0.6
# Goals change between these shares of the visits; some change twice.
CHANGE_SPAN = (0.2, 0.9)
SECOND_CHANGE_SHARE = 0.25


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
    visits: Ints
    searches: NDArray[np.bool_]
    drive: NDArray[np.float64]
    terse: Ints
    city: Ints
    choosy: NDArray[np.bool_]
    appetite: NDArray[np.float64]
    ability: NDArray[np.float64]
    goals: Ints
    until: NDArray[np.float64]
    occupation: Ints
    speciality: Ints
    level: Ints
    industry: Ints


def draw_members(
    catalogue: Catalogue,
    config: MarketplaceConfig,
    *,
    first: int,
    count: int,
    rng: np.random.Generator,
) -> Members:
    """Draw the latent traits of members `first` to `first + count - 1`."""
    drive = rng.beta(1.5, 1.6, count)
    goals, until = _changes(config.drift, count, rng)
    return Members(
        first=first,
        visits=_visits(config, count, rng),
        searches=_searches(config.never_search, drive, rng),
        drive=drive,
        terse=(rng.random(count) < TERSE_SHARE).astype(np.int64),
        city=(len(CITIES) * rng.random(count) ** 2).astype(np.int64),
        choosy=rng.random(count) < CHOOSY_SHARE,
        appetite=rng.normal(0, 1.2, count),
        ability=rng.normal(0, 1, count),
        goals=goals,
        until=until,
        **_wishes(catalogue.occupations, goals, rng),
    )


def _visits(config: MarketplaceConfig, count: int, rng: np.random.Generator) -> Ints:
    """Power-law visits with the configured mean, at least one each."""
    more = rng.pareto(config.activity_exponent, count) * _scale(config)
    return (1 + more).astype(np.int64).clip(1, config.most_sessions)


def _scale(config: MarketplaceConfig) -> float:
    """Scale of the power law whose mean, once bounded and rounded down, is the configured one.

    Solves mean = scale / (tail - 1) * (1 - (1 + bound / scale) ** (1 - tail)), the mean of a
    bounded Lomax distribution, by iteration.
    """
    wanted, tail = config.sessions_per_member - 0.5, config.activity_exponent
    scale = free = wanted * (tail - 1)
    for _ in range(50):
        scale = free / (1 - (1 + config.most_sessions / scale) ** (1 - tail))
    return scale


def _searches(
    never: float, drive: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Whoever never searches is mostly passive, reached by notifications; the share is exact."""
    keenness = rng.random(len(drive)) + 0.5 * drive
    return keenness.argsort().argsort() >= round(never * len(drive))


def _changes(
    drift: float, count: int, rng: np.random.Generator
) -> tuple[Ints, NDArray[np.float64]]:
    """How many goals there are, and when each ends."""
    changes = (rng.random(count) < drift).astype(np.int64)
    changes += (changes > 0) & (rng.random(count) < SECOND_CHANGE_SHARE)
    cuts = rng.uniform(*CHANGE_SPAN, (count, GOALS - 1))
    cuts[changes < 2, 1] = 1
    cuts[changes < 1, 0] = 1
    return changes + 1, np.column_stack([np.sort(cuts, axis=1), np.ones(count)])


def _wishes(occupations: Occupations, goals: Ints, rng: np.random.Generator) -> dict[str, Ints]:
    """First goals by popularity; later goals follow from the earlier ones."""
    count = len(goals)
    occupation = rng.choice(len(occupations.names), count, p=occupations.popularity)
    wish = {
        "occupation": occupation,
        "speciality": draw(rng, occupations.speciality_shares[occupation]),
        "level": rng.choice(LEVELS, count, p=LEVEL_SHARES),
        "industry": _industry(occupations.families[occupation], rng),
    }
    wishes = [wish]
    for goal in range(1, GOALS):
        later = _later(occupations, wishes[-1], rng)
        wishes.append({k: np.where(goals > goal, later[k], wishes[-1][k]) for k in wish})
    return {name: np.column_stack([w[name] for w in wishes]) for name in wish}


def _later(
    occupations: Occupations, wish: dict[str, Ints], rng: np.random.Generator
) -> dict[str, Ints]:
    """The goal after `wish`.

    Half of the changes take a step on the graph of related occupations, mostly to the closest
    ones, and keep a speciality that the new occupation has too. A quarter change the speciality,
    a quarter aim a level higher.
    """
    o, s, z = wish["occupation"], wish["speciality"], wish["level"]
    luck = rng.random(len(o))
    leaves, rises = luck < 0.5, (luck >= 0.75) & (z < LEVELS - 1)
    onward = occupations.neighbours[o, draw(rng, occupations.steps[o])]
    next_o = np.where(leaves, onward, o)
    another = draw(rng, occupations.speciality_shares[next_o])
    same = occupations.speciality_ids[next_o] == occupations.speciality_ids[o, s][:, None]
    carried = np.where(same.any(1), same.argmax(1), another)
    families = occupations.families[next_o]
    moved = families != occupations.families[o]
    return {
        "occupation": next_o,
        "speciality": np.where(rises, s, np.where(leaves, carried, another)),
        "level": z + rises,
        "industry": np.where(moved, _industry(families, rng), wish["industry"]),
    }


def _industry(families: Ints, rng: np.random.Generator) -> Ints:
    own = 2 * families + rng.integers(0, 2, len(families))
    elsewhere = rng.integers(0, len(INDUSTRIES), len(families))
    return np.where(rng.random(len(families)) < HOME_INDUSTRY_SHARE, own, elsewhere)
