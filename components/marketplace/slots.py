"""The places of each page: which postings they show, and what becomes of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.codes import (
    APPLY,
    DISMISS,
    IGNORED,
    NAVIGATION,
    NOTIFICATION,
    SAVE,
    SEARCH,
    VIEW,
)
from components.marketplace.occupations import NEIGHBOURS
from components.marketplace.pages import Pages
from components.marketplace.postings import LEVELS, REMOTE_CITY
from components.marketplace.queries import ANY, RESULTS
from components.marketplace.scene import Flags, Floats, Ints, Scene

# Places on a page of each of codes.CHANNELS.
PAGE_SIZE = np.array([10, 8, 5, 2, 1])
# The j-th of n places shows a result from the j-th of n strata, which widen by this exponent.
STRATA = 2.2
# A place is looked at with probability (1 + position) ** -ATTENTION.
ATTENTION = 0.6
# Share of visits in which the member is ready to apply; in others it takes a perfect match.
DECIDING_SHARE, RELUCTANCE = 0.5, 4.5
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

    relevance = _relevance(scene, pages, page, posting)
    outcome = _outcomes(scene, pages, page=page, position=position, relevance=relevance)
    navigated = pages.channel[page] == NAVIGATION
    outcome[navigated] = IGNORED
    member = pages.member[page]
    saved = scene.one_of_the_last(3, member=member, there=outcome == SAVE, wanted=navigated)
    back, saved = np.flatnonzero(navigated)[saved != ANY], saved[saved != ANY]
    posting[back] = posting[saved]
    relevance[back] = _relevance(scene, pages, page[back], posting[back])
    applies = scene.chance(0.25 + 0.2 * relevance[back], len(back))
    outcome[back] = np.where(applies, APPLY, VIEW)

    slots = Slots(page, position, posting, relevance, outcome)
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
    first, alike = catalogue.postings.first_alike, catalogue.postings.alike
    fresh = first[ranked] + (scene.rng.random(count) * alike[ranked]).astype(np.int64)
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
    """How well postings fit the goal in mind."""
    members, postings = scene.members, scene.catalogue.postings
    m, g = pages.member, pages.goal
    wanted = members.occupation[m, g][page]
    offered = postings.occupation[posting]
    same = wanted == offered
    close = scene.catalogue.occupations.closeness[wanted, offered]
    relevance = np.where(same, np.float32(1.0), np.float32(0.5) * close)
    special = postings.speciality[posting] == members.speciality[m, g][page]
    relevance += np.float32(0.6) * (same & special)
    apart = np.abs(postings.level[posting] - members.level[m, g][page])
    relevance += np.array([0.45, 0.05, -0.35, -0.6], np.float32)[apart]
    relevance += np.float32(0.45) * (postings.industry[posting] == members.industry[m, g][page])
    city = postings.city[posting]
    elsewhere = (city != members.city[m][page]) & (city != REMOTE_CITY)
    relevance -= np.float32(0.25) * (members.choosy[m][page] & elsewhere)
    return relevance


def _outcomes(
    scene: Scene, pages: Pages, *, page: Ints, position: Ints, relevance: Floats
) -> NDArray[np.int8]:
    """Look at a place, open the posting, then act on it."""
    luck = scene.rng.random((4, len(page)), dtype=np.float32)
    looked = (1 + np.arange(PAGE_SIZE.max(), dtype=np.float32)) ** -ATTENTION
    opened = luck[0] < looked[position] * _logistic(2.6 * relevance - 4.1)
    decides = scene.chance(DECIDING_SHARE, pages.visit[-1] + 1)[pages.visit]
    appetite = scene.members.appetite[pages.member] - RELUCTANCE * ~decides
    applies = luck[1] < _logistic(3.2 * relevance - 6.5 + appetite[page])
    saves = luck[2] < 0.7 * _logistic(3.0 * relevance - 6.0)
    dismisses = luck[3] < 0.6 * _logistic(1.6 - 3.0 * relevance)
    outcome = np.full(len(page), IGNORED, np.int8)
    for happens, action in ((opened, VIEW), (dismisses, DISMISS), (saves, SAVE), (applies, APPLY)):
        outcome[opened & happens] = action
    return outcome


def _logistic(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


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
