"""The places of each page: which postings they show, and what becomes of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.codes import (
    APPLY,
    IGNORED,
    NAVIGATION,
    NOTIFICATION,
    SAVE,
    SEARCH,
    VIEW,
)
from components.marketplace.occupations import NEIGHBOURS
from components.marketplace.pages import Pages
from components.marketplace.postings import LEVELS
from components.marketplace.queries import ANY, RESULTS
from components.marketplace.response import (
    DECIDING_SHARE,
    LUCK,
    PLACES,
    RELUCTANCE,
    act,
    relevance,
)
from components.marketplace.scene import Flags, Floats, Ints, Scene

# Places on a page of each of codes.CHANNELS.
PAGE_SIZE = np.array([PLACES, 8, 5, 2, 1])
# The j-th of n places shows a result from the j-th of n strata, which widen by this exponent.
STRATA = 2.2
# How often recommendations still follow the goal before.
LAG = 0.2


@dataclass(frozen=True, slots=True)
class Slots:
    """The places of all pages: one row per posting shown.

    Attributes:
        page: row in `Pages`.
        position: place on the page, from 0.
        posting: index into `Postings`.
        relevance: how well the posting fits the goal in mind, about -0.8 to 2.5.
        outcome: the strongest action on it (APPLY, SAVE, DISMISS, VIEW), or IGNORED.
    """

    page: NDArray[np.int64]
    position: NDArray[np.int64]
    posting: NDArray[np.int64]
    relevance: NDArray[np.float32]
    outcome: NDArray[np.int8]


def fill_pages(scene: Scene, pages: Pages) -> Slots:
    """Show postings on every page and let the members act on them."""
    size = PAGE_SIZE[pages.channel]
    page = np.repeat(np.arange(len(size)), size)
    posting = _shown(scene, pages, page)
    # A page shows a posting once.
    _, first = np.unique(page * len(scene.catalogue.postings) + posting, return_index=True)
    first.sort()
    page, posting = page[first], posting[first]
    position = np.arange(len(page)) - np.searchsorted(page, page)

    fit = _relevance(scene, pages, page, posting)
    outcome = _outcomes(scene, pages, page=page, position=position, relevance=fit)
    navigated = pages.channel[page] == NAVIGATION
    outcome[navigated] = IGNORED
    member = pages.member[page]
    saved = scene.one_of_the_last(3, member=member, there=outcome == SAVE, wanted=navigated)
    back, saved = np.flatnonzero(navigated)[saved != ANY], saved[saved != ANY]
    posting[back] = posting[saved]
    fit[back] = _relevance(scene, pages, page[back], posting[back])
    applies = scene.chance(0.25 + 0.2 * fit[back], len(back))
    outcome[back] = np.where(applies, APPLY, VIEW)

    slots = Slots(page, position, posting, fit, outcome)
    _open_something(scene, pages, slots)
    _apply_once(member, slots)
    return slots


def _shown(scene: Scene, pages: Pages, page: Ints) -> NDArray[np.int64]:
    """The posting of each place: results in order of rank, and fresh postings in between."""
    catalogue, count = scene.catalogue, len(page)
    number = np.arange(count) - np.searchsorted(page, page)
    size = PAGE_SIZE[pages.channel]
    steps = np.arange(PAGE_SIZE.max() + 1)
    edges = RESULTS * (steps / np.maximum(PAGE_SIZE, 4)[:, None]) ** STRATA
    edges = np.maximum(edges, steps).ravel()
    at = (pages.channel * len(steps))[page] + number
    width = edges[at + 1] - edges[at]
    place = (edges[at] + scene.rng.random(count) * width).astype(np.int64).clip(max=RESULTS - 1)

    o, s, z = _suggested(scene, pages)
    asked = np.repeat(pages.query != ANY, size)
    ranked = np.where(
        asked,
        catalogue.queries.results[pages.query[page], place],
        catalogue.ranked[o[page], s[page], z[page], place],
    )
    return mix_in_fresh(scene, ranked)


def mix_in_fresh(scene: Scene, ranked: Ints) -> NDArray[np.int64]:
    """Give some of the places to any posting of the same speciality, however unpopular."""
    postings, count = scene.catalogue.postings, len(ranked)
    luck = (scene.rng.random(count) * postings.alike[ranked]).astype(np.int64)
    fresh = postings.first_alike[ranked] + luck
    return np.where(scene.chance(scene.config.fresh, count), fresh, ranked)


def _suggested(scene: Scene, pages: Pages) -> tuple[Ints, Ints, Ints]:
    """What the marketplace believes a member wants: late, blurred, and sometimes exploring.

    Returns:
        Occupation, speciality and level of each page, as indices of `Catalogue.ranked`.
    """
    members, occupations, rng = scene.members, scene.catalogue.occupations, scene.rng
    member, count = pages.member, len(pages.member)
    goal = pages.goal - ((pages.goal > 0) & scene.chance(LAG, count))
    wanted = members.occupation[member, goal]
    explore = scene.config.explore * np.where(pages.channel == NOTIFICATION, 1.5, 1.0)
    strays, strays_far = scene.chance(explore, count), scene.chance(0.3, count)
    near = occupations.neighbours[wanted, rng.integers(0, NEIGHBOURS, count)]
    edges = np.cumsum(occupations.popularity)
    far = np.searchsorted(edges, rng.random(count) * edges[-1], side="right")
    occupation = np.where(strays, np.where(strays_far, far, near), wanted)
    knows = ~strays & scene.chance(0.6, count)
    any_speciality = occupations.speciality_ids.shape[1]
    speciality = np.where(knows, members.speciality[member, goal], any_speciality)
    level = np.where(scene.chance(0.5, count), members.level[member, goal], LEVELS)
    return occupation, speciality, level


def _relevance(scene: Scene, pages: Pages, page: Ints, posting: Ints) -> NDArray[np.float32]:
    member, goal = pages.member[page], pages.goal[page]
    return relevance(scene.catalogue, scene.members, member=member, goal=goal, posting=posting)


def _outcomes(
    scene: Scene, pages: Pages, *, page: Ints, position: Ints, relevance: Floats
) -> NDArray[np.int8]:
    luck = scene.rng.random((LUCK, len(page)), dtype=np.float32)
    decides = scene.chance(DECIDING_SHARE, pages.visit[-1] + 1)[pages.visit]
    appetite = scene.members.appetite[pages.member] - RELUCTANCE * ~decides
    return act(luck, position=position, relevance=relevance, appetite=appetite[page])


def _open_something(scene: Scene, pages: Pages, slots: Slots) -> None:
    """A visit that left no trace would not be in the log: its likeliest posting was opened."""
    visit = pages.visit[slots.page]
    traced: Flags = np.zeros(pages.visit[-1] + 1, bool)
    traced[visit[slots.outcome != IGNORED]] = True
    traced[pages.visit[pages.channel == SEARCH]] = True
    at = np.flatnonzero(~traced[visit])
    if not len(at):
        return
    score = slots.relevance[at] + scene.rng.random(len(at), dtype=np.float32)
    # Ascending by visit, then by score: the last row of each visit is its likeliest.
    order = at[np.lexsort((score, visit[at]))]
    likeliest = order[np.diff(visit[order], append=-1) != 0]
    slots.outcome[likeliest] = VIEW


def _apply_once(member: Ints, slots: Slots) -> None:
    """Nobody applies twice to a posting: later on it is only viewed."""
    at = np.flatnonzero(slots.outcome == APPLY)
    _, first = np.unique(member[at] << 32 | slots.posting[at], return_index=True)
    again = np.ones(len(at), bool)
    again[first] = False
    slots.outcome[at[again]] = VIEW
