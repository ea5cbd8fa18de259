"""Visits and their pages: which channel, which goal, which query."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.codes import ALERT, NOTIFICATION, RECOMMENDATION, SEARCH
from components.marketplace.members import GOALS
from components.marketplace.queries import ANY
from components.marketplace.scene import Flags, Floats, Ints, Scene
from components.marketplace.words import CITIES, QUERY_EXTRAS

PASSIVE, BROWSING, SEARCHING = range(3)
BROWSING_SHARE = 0.3
WANDERING_SHARE = 0.15
MOST_PAGES = 30
# Shares of codes.CHANNELS on the first and on later pages of a passive, browsing, searching visit.
FIRST_CHANNEL = np.array(
    [[0.0, 0.3, 0.13, 0.5, 0.07], [0.0, 0.6, 0.15, 0.1, 0.15], [0.74, 0.08, 0.06, 0.05, 0.07]]
)
LATER_CHANNEL = np.array(
    [[0.15, 0.55, 0.15, 0.0, 0.15], [0.03, 0.62, 0.15, 0.0, 0.2], [0.64, 0.14, 0.05, 0.0, 0.17]]
)
# Shares of catalogue.FORMS for the first and for the last search of a goal.
BROAD = np.array([7, 4, 40, 13, 10, 10, 3, 2, 4, 2, 0, 1, 4, 0]) / 100
NARROW = np.array([1, 1, 7, 2, 2, 22, 8, 5, 14, 7, 8, 8, 9, 6]) / 100
# Before a goal changes, and for how much of the trail, unasked pages are already about the next.
CURIOUS_SHARE, CURIOUS_SPAN = 0.6, 0.3


@dataclass(frozen=True, slots=True)
class Pages:
    """What was shown: one row per page, in order of member, visit and time.

    Attributes:
        member: row in `Members`.
        visit: number of the visit over the chunk.
        channel: index into CHANNELS.
        goal: which of the member's goals the member had in mind, 0 to 2.
        query: query of a search or an alert, else -1.
        extra: word added to the query, index into CITIES followed by QUERY_EXTRAS, else -1.
    """

    member: NDArray[np.int64]
    visit: NDArray[np.int64]
    channel: NDArray[np.int64]
    goal: NDArray[np.int64]
    query: NDArray[np.int64]
    extra: NDArray[np.int64]


def open_pages(scene: Scene) -> Pages:
    """Let every member visit, and every visit open its pages."""
    members, rng = scene.members, scene.rng
    member = np.repeat(np.arange(len(members.visits)), members.visits)
    starts = np.cumsum(members.visits) - members.visits
    order = (np.arange(len(member)) - starts[member] + 0.5) / members.visits[member]

    mode = modes(scene, member)
    count = _page_counts(scene, mode)
    visit = np.repeat(np.arange(len(member)), count)
    opens = np.diff(visit, prepend=-1) > 0
    of, when = member[visit], order[visit]
    channel = _channels(scene, of, mode=mode[visit], opens=opens)
    goal, phase = _goals(scene, of, when)
    asked = channel == SEARCH
    query, extra = _queries(scene, of, goal=goal, phase=phase, asked=asked)

    alerted = channel == ALERT
    alert_of = scene.one_of_the_last(3, member=of, there=asked, wanted=alerted)
    known = alert_of != ANY
    query[alerted] = np.where(known, query[alert_of], ANY)
    extra[alerted] = np.where(known, extra[alert_of], ANY)
    channel[alerted & (query == ANY)] = RECOMMENDATION

    unasked = (channel == RECOMMENDATION) | (channel == NOTIFICATION)
    curious = (goal < members.goals[of] - 1) & (members.until[of, goal] - when < CURIOUS_SPAN)
    goal += unasked & curious & (rng.random(len(of)) < CURIOUS_SHARE)
    return Pages(of, visit, channel, goal, query, extra)


def modes(scene: Scene, member: Ints) -> Ints:
    """Draw what each visit is for: PASSIVE, BROWSING or SEARCHING."""
    active = scene.chance(scene.members.drive[member], len(member))
    browses = scene.chance(BROWSING_SHARE, len(member))
    return np.where(active, np.where(browses, BROWSING, SEARCHING), PASSIVE)


def _page_counts(scene: Scene, mode: Ints) -> Ints:
    tail = scene.rng.pareto(1.8, len(mode)) * scene.config.round_tail * 0.8
    wanders = scene.chance(WANDERING_SHARE, len(mode))
    more = np.where(mode == PASSIVE, np.where(wanders, 0.4 * tail, 0), tail)
    return 1 + more.clip(max=MOST_PAGES).astype(np.int64)


def _channels(scene: Scene, member: Ints, *, mode: Ints, opens: Flags) -> NDArray[np.int64]:
    members, rng = scene.members, scene.rng
    odds = np.where(opens[:, None], FIRST_CHANNEL[mode], LATER_CHANNEL[mode])
    channel = (rng.random((len(member), 1)) >= np.cumsum(odds, axis=1)[:, :-1]).sum(1)
    channel[(channel == SEARCH) & ~members.searches[member]] = RECOMMENDATION
    # Whoever ever searches does so at least once.
    count = len(members.visits)
    searched = np.bincount(member[channel == SEARCH], minlength=count) > 0
    pages = np.bincount(member, minlength=count)
    missing = np.flatnonzero(members.searches & ~searched)
    lot = (rng.random(len(missing)) * pages[missing]).astype(np.int64)
    channel[(np.cumsum(pages) - pages)[missing] + lot] = SEARCH
    return channel


def _goals(scene: Scene, member: Ints, when: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The goal of each page, and how far that goal has gone, 0 to 1."""
    members = scene.members
    goal = (when[:, None] > members.until[member, : GOALS - 1]).sum(1)
    goal = np.minimum(goal, members.goals[member] - 1)
    until = members.until[member, goal]
    since = np.where(goal > 0, members.until[member, goal - 1], 0)
    return goal, ((when - since) / np.maximum(until - since, 1e-9)).clip(0, 1)


def _queries(
    scene: Scene, member: Ints, *, goal: Ints, phase: Floats, asked: Flags
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What each search asks for: something new, or a query asked before for the same goal."""
    at = np.flatnonzero(asked)
    m, g = member[at], goal[at]
    new_query, new_extra = word_goals(scene, m, goal=g, phase=phase[at])
    source = _asked_again(scene, m * GOALS + g)
    query, extra = np.full(len(member), ANY), np.full(len(member), ANY)
    query[at], extra[at] = new_query[source], new_extra[source]
    return query, extra


def word_goals(scene: Scene, member: Ints, *, goal: Ints, phase: Floats) -> tuple[Ints, Ints]:
    """Put goals into words as their members do.

    Args:
        scene: whose members search.
        member: int[n], row of each.
        goal: int[n], which goal is in mind.
        phase: float[n], how far that goal has gone, 0 to 1: searches narrow.

    Returns:
        Query, and the extra word or -1, as in `Pages`.
    """
    members, narrow = scene.members, phase[:, None]
    edges = np.cumsum((1 - narrow) * BROAD + narrow * NARROW, axis=1)
    form = (scene.rng.random((len(member), 1)) * edges[:, -1:] >= edges[:, :-1]).sum(1)
    wish = (own[member, goal] for own in (members.occupation, members.speciality, members.level))
    return scene.catalogue.queries.forms[*wish, form, members.terse[member]], _extras(scene, member)


def _asked_again(scene: Scene, run: Ints) -> Ints:
    """For each search, itself or the earlier search of the same run that it repeats."""
    number = np.arange(len(run))
    begin = np.maximum.accumulate(np.where(np.diff(run, prepend=-1) != 0, number, 0))
    before = number - begin
    newness = scene.config.new_query
    fresh = scene.chance(newness / (newness + before), len(run))
    earlier = begin + (scene.rng.random(len(run)) * before).astype(np.int64)
    source = np.where(fresh, number, earlier)
    while not np.array_equal(source, source[source]):
        source = source[source]
    return source


def _extras(scene: Scene, member: Ints) -> Ints:
    members, count = scene.members, len(member)
    word = len(CITIES) + scene.rng.integers(0, len(QUERY_EXTRAS), count)
    local = members.choosy[member] & scene.chance(0.6, count)
    extra = np.where(local, members.city[member], word)
    return np.where(scene.chance(scene.config.tail_query, count), extra, ANY)
