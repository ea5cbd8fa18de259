"""What members do: visits, pages of postings, and what is opened, saved, dismissed, applied to.

How a trail comes about; each mechanism is one that real marketplaces have.

1. Goal. A member wants an occupation, a speciality, a level and an industry. Goals change: to a
   related occupation (a transferable speciality is kept), to another speciality, or a level up.
2. Curiosity comes first. Before a goal changes, some of the pages that a member does not have to
   ask for (recommendations) are about the next goal, and are opened and saved, not yet searched.
3. Searches narrow. Within a goal, broad queries come first, then specialities, skills and levels;
   earlier queries are repeated. Some members abbreviate, always.
4. Pages mislead. Search engines fill up with related postings; recommendations lag behind a change
   of goal and explore; notifications are often beside the point. So an opened posting says little,
   and saving or applying much; a dismissed one says what is not wanted.
5. Postings are looked at from the top (position bias) and opened by relevance, of which the title
   shows occupation, speciality and level, and the company's name the industry.
6. Saved postings are returned to, and often applied to, in a later visit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.catalogue import ANY, FORMS, LEVELS, REMOTE_CITY, RESULTS, Catalogue
from components.marketplace.config import MarketplaceConfig
from components.marketplace.members import GOALS, Members
from components.marketplace.words import CITIES, QUERY_EXTRAS

CHANNELS = ("search", "recommendation", "alert", "notification", "navigation")
SEARCH, RECOMMENDATION, ALERT, NOTIFICATION, NAVIGATION = range(5)
ACTIONS = (
    "JOB_SEARCH",
    "VIEW",
    "SAVE",
    "DISMISS",
    "APPLY",
    "INTERACTION",
    "SHORT_VIEW",
    "LONG_VIEW",
)
JOB_SEARCH, VIEW, SAVE, DISMISS, APPLY, INTERACTION, SHORT_VIEW, LONG_VIEW = range(8)
IGNORED = -1

Floats = NDArray[np.floating]

PAGE_SIZE = np.array([10, 8, 5, 2, 1])
EXTRAS = len(CITIES) + len(QUERY_EXTRAS)
MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE

# Shares of CHANNELS on the first and on later pages of a passive, a browsing, a searching visit.
FIRST_CHANNEL = np.array(
    [[0.0, 0.3, 0.13, 0.5, 0.07], [0.0, 0.6, 0.15, 0.1, 0.15], [0.74, 0.08, 0.06, 0.05, 0.07]]
)
LATER_CHANNEL = np.array(
    [[0.15, 0.55, 0.15, 0.0, 0.15], [0.03, 0.62, 0.15, 0.0, 0.2], [0.64, 0.14, 0.05, 0.0, 0.17]]
)
BROWSING = 0.3
# Share of visits in which the member is ready to apply; in the others it takes a perfect match.
DECIDES = 0.55
# Shares of the forms of catalogue.FORMS for the first and for the last search of a goal.
BROAD = (0.07, 0.04, 0.40, 0.13, 0.10, 0.10, 0.03, 0.02, 0.04, 0.02, 0.0, 0.01, 0.04, 0.0)
NARROW = (0.01, 0.01, 0.07, 0.02, 0.02, 0.22, 0.08, 0.05, 0.14, 0.07, 0.08, 0.08, 0.09, 0.06)


@dataclass(frozen=True, slots=True)
class Pages:
    """What was shown: one row per page, in order of member, visit and time.

    Attributes:
        member: row in `Members`.
        visit: number of the visit over the chunk.
        channel: index into CHANNELS.
        goal: which of the member's goals the member had in mind, 0 to 2.
        query: query of a search or an alert, else -1; `extra`: its place or extra word, else -1.
    """

    member: NDArray[np.int64]
    visit: NDArray[np.int64]
    channel: NDArray[np.int64]
    goal: NDArray[np.int64]
    query: NDArray[np.int64]
    extra: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slots:
    """The places of all pages: one row per posting shown.

    Attributes:
        page: row in `Pages`; position: from 0; posting: index into Postings.
        relevance: how well the posting fits the goal in mind, about 0 to 2.4.
        outcome: SAVE, VIEW, ... or IGNORED.
    """

    page: NDArray[np.int64]
    position: NDArray[np.int64]
    posting: NDArray[np.int32]
    relevance: Floats
    outcome: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Trails:
    """All that one chunk of members did."""

    members: Members
    pages: Pages
    slots: Slots


def simulate(
    catalogue: Catalogue, config: MarketplaceConfig, members: Members, rng: np.random.Generator
) -> Trails:
    """Simulate the visits of a chunk of members."""
    member, order, active = _visits(members, rng)
    pages = _pages(catalogue, config, members, rng, member, order, active)
    slots = _slots(catalogue, config, members, pages, rng)
    return Trails(members, pages, slots)


def _visits(
    members: Members, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    member = np.repeat(np.arange(len(members.visits)), members.visits)
    starts = np.cumsum(members.visits) - members.visits
    order = (np.arange(len(member)) - starts[member] + 0.5) / members.visits[member]
    return member, order, rng.random(len(member)) < members.drive[member]


def _pages(
    catalogue: Catalogue,
    config: MarketplaceConfig,
    members: Members,
    rng: np.random.Generator,
    member: NDArray[np.int64],
    order: NDArray[np.float64],
    active: NDArray[np.bool_],
) -> Pages:
    tail = (rng.pareto(1.8, len(member)) * config.round_tail * 0.8).clip(max=30)
    browses = rng.random(len(member)) < BROWSING
    more = np.where(active, tail, np.where(rng.random(len(member)) < 0.15, 0.4 * tail, 0))
    count = 1 + more.astype(np.int64)
    visit = np.repeat(np.arange(len(member)), count)
    opens = np.zeros(len(visit), bool)
    opens[np.cumsum(count) - count] = True
    of = member[visit]
    mode = np.where(active, np.where(browses, 1, 2), 0)
    channel = _channels(members, rng, of, mode[visit], opens)
    goal, phase = _goals(members, of, order[visit])
    query, extra = _queries(catalogue, config, members, rng, of, goal, phase, channel == SEARCH)
    asked = channel == SEARCH
    repeated = _earlier(rng, of, asked, channel == ALERT)
    found = repeated >= 0
    query[channel == ALERT] = np.where(found, query[repeated], ANY)
    extra[channel == ALERT] = np.where(found, extra[repeated], ANY)
    channel[(channel == ALERT) & (query == ANY)] = RECOMMENDATION
    curious = _curious(members, rng, of, order[visit], goal, channel)
    return Pages(of, visit, channel, goal + curious, query, extra)


def _channels(
    members: Members,
    rng: np.random.Generator,
    member: NDArray[np.int64],
    mode: NDArray[np.int64],
    opens: NDArray[np.bool_],
) -> NDArray[np.int64]:
    odds = np.where(opens[:, None], FIRST_CHANNEL[mode], LATER_CHANNEL[mode])
    channel = (rng.random((len(member), 1)) >= np.cumsum(odds, axis=1)[:, :-1]).sum(1)
    channel[(channel == SEARCH) & ~members.searches[member]] = RECOMMENDATION
    # Whoever ever searches does so at least once, at the start of some visit.
    searched = np.bincount(member[channel == SEARCH], minlength=len(members.visits)) > 0
    pages = np.bincount(member, minlength=len(members.visits))
    missing = np.flatnonzero(members.searches & ~searched)
    lot = (rng.random(len(missing)) * pages[missing]).astype(np.int64)
    channel[np.cumsum(pages)[missing] - pages[missing] + lot] = SEARCH
    return channel


def _goals(
    members: Members, member: NDArray[np.int64], order: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The goal of each page, and how far that goal has gone, 0 to 1."""
    goal = (order[:, None] > members.until[member, : GOALS - 1]).sum(1)
    goal = np.minimum(goal, members.goals[member] - 1)
    until = members.until[member, goal]
    since = np.where(goal > 0, members.until[member, goal - 1], 0)
    return goal, (order - since) / np.maximum(until - since, 1e-9)


def _curious(
    members: Members,
    rng: np.random.Generator,
    member: NDArray[np.int64],
    order: NDArray[np.float64],
    goal: NDArray[np.int64],
    channel: NDArray[np.int64],
) -> NDArray[np.int64]:
    ahead = members.until[member, goal] - order
    last = goal == members.goals[member] - 1
    unasked = (channel == RECOMMENDATION) | (channel == NOTIFICATION)
    return (unasked & ~last & (ahead < 0.3) & (rng.random(len(goal)) < 0.6)).astype(np.int64)


def _queries(
    catalogue: Catalogue,
    config: MarketplaceConfig,
    members: Members,
    rng: np.random.Generator,
    member: NDArray[np.int64],
    goal: NDArray[np.int64],
    phase: NDArray[np.float64],
    asked: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What each search asks for; a query of the same goal may be asked again."""
    at = np.flatnonzero(asked)
    m, g, f = member[at], goal[at], phase[at].clip(0, 1)
    run = m * GOALS + g
    first = np.r_[True, run[1:] != run[:-1]]
    begin = np.maximum.accumulate(np.where(first, np.arange(len(at)), 0))
    number = np.arange(len(at)) - begin
    fresh = rng.random(len(at)) * (config.new_query + number) < config.new_query
    odds = (1 - f[:, None]) * np.array(BROAD) + f[:, None] * np.array(NARROW)
    edges = np.cumsum(odds, axis=1)
    form = (rng.random((len(at), 1)) * edges[:, -1:] >= edges[:, :-1]).sum(1)
    o, s, z = members.occupation[m, g], members.speciality[m, g], members.level[m, g]
    text = catalogue.queries.forms[o, s, z, form, members.terse[m]].astype(np.int64)
    extra = _extras(config, members, rng, m)
    source = np.where(fresh, np.arange(len(at)), begin + (rng.random(len(at)) * number).astype(int))
    while True:
        next_source = source[source]
        if np.array_equal(next_source, source):
            break
        source = next_source
    query, more = np.full(len(member), ANY), np.full(len(member), ANY)
    query[at], more[at] = text[source], extra[source]
    return query, more


def _extras(
    config: MarketplaceConfig, members: Members, rng: np.random.Generator, member: NDArray[np.int64]
) -> NDArray[np.int64]:
    word = len(CITIES) + rng.integers(0, len(QUERY_EXTRAS), len(member))
    kind = np.where(
        members.choosy[member] & (rng.random(len(member)) < 0.6), members.city[member], word
    )
    return np.where(rng.random(len(member)) < config.tail_query, kind, ANY)


def _earlier(
    rng: np.random.Generator,
    member: NDArray[np.int64],
    there: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """For each wanted row, one of its member's three latest earlier rows `there`, or -1."""
    rows, at = np.flatnonzero(there), np.flatnonzero(wanted)
    if not len(rows):
        return np.full(len(at), ANY)
    before = np.searchsorted(rows, at)
    first = np.searchsorted(rows, np.searchsorted(member, member[at]))
    back = 1 + (rng.random(len(at)) * np.minimum(before - first, 3)).astype(np.int64)
    return np.where(before > first, rows[np.maximum(before - back, 0)], ANY)


def _slots(
    catalogue: Catalogue,
    config: MarketplaceConfig,
    members: Members,
    pages: Pages,
    rng: np.random.Generator,
) -> Slots:
    size = PAGE_SIZE[pages.channel]
    page = np.repeat(np.arange(len(size)), size)
    position = np.arange(len(page)) - np.repeat(np.cumsum(size) - size, size)
    posting = _shown(catalogue, config, members, pages, rng, page, position)
    luck = rng.random((4, len(page)), dtype=np.float32)
    navigated = pages.channel[page] == NAVIGATION
    relevance = _relevance(catalogue, members, pages, page, posting)
    outcome = _outcomes(members, pages, page, position, relevance, luck, rng)
    outcome[navigated] = IGNORED

    saved = _earlier(rng, pages.member[page], outcome == SAVE, navigated)
    back = np.flatnonzero(navigated)[saved >= 0]
    posting[back] = posting[saved[saved >= 0]]
    relevance[back] = _relevance(catalogue, members, pages, page[back], posting[back])
    outcome[back] = np.where(luck[1][back] < 0.25 + 0.2 * relevance[back], APPLY, VIEW)
    _open_something(pages, page, relevance, outcome, luck, navigated)
    _apply_once(pages.member[page], posting, outcome)
    return Slots(page, position, posting, relevance, outcome)


def _shown(
    catalogue: Catalogue,
    config: MarketplaceConfig,
    members: Members,
    pages: Pages,
    rng: np.random.Generator,
    page: NDArray[np.int64],
    position: NDArray[np.int64],
) -> NDArray[np.int32]:
    """The postings on each page: drawn from ever wider strata of the ranked list, so in order."""
    place = np.empty(len(page), np.int64)
    luck = rng.random(len(page))
    for channel, size in enumerate(PAGE_SIZE):
        here = pages.channel[page] == channel
        steps = np.arange(size + 1)
        edges = np.maximum(steps, RESULTS * (steps / max(size, 4)) ** 2.2)
        at = position[here]
        place[here] = edges[at] + luck[here] * (edges[at + 1] - edges[at])
    place = place.clip(max=RESULTS - 1)
    o, s, z = _suggested(catalogue, config, members, pages, rng)
    unasked = catalogue.results[o[page], s[page], z[page], place]
    asked = catalogue.queries.results[pages.query[page], place]
    ranked = np.where(pages.query[page] != ANY, asked, unasked)
    # Fresh postings are mixed in: any of the same occupation and speciality.
    first, past = catalogue.postings.alike
    any_alike = first[ranked] + (rng.random(len(page)) * (past - first)[ranked]).astype(np.int32)
    return np.where(rng.random(len(page)) < config.fresh, any_alike, ranked)


def _suggested(
    catalogue: Catalogue,
    config: MarketplaceConfig,
    members: Members,
    pages: Pages,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What the marketplace believes a member wants: late, blurred, and sometimes exploring."""
    count = len(pages.member)
    goal = np.where((pages.goal > 0) & (rng.random(count) < 0.2), pages.goal - 1, pages.goal)
    o = members.occupation[pages.member, goal]
    luck, notified = rng.random(count), pages.channel == NOTIFICATION
    explore = config.explore * np.where(notified, 1.5, 1.0)
    near = catalogue.occupations.neighbours[o, rng.integers(0, 6, count)]
    far = rng.choice(
        len(catalogue.occupations.popularity), count, p=catalogue.occupations.popularity
    )
    strays = luck < explore
    o = np.where(strays, np.where(luck < 0.3 * explore, far, near), o)
    knows = ~strays & (rng.random(count) < 0.6)
    s = np.where(knows, members.speciality[pages.member, goal], catalogue.results.shape[1] - 1)
    z = np.where(rng.random(count) < 0.5, members.level[pages.member, goal], LEVELS)
    return o, s, z


def _relevance(
    catalogue: Catalogue,
    members: Members,
    pages: Pages,
    page: NDArray[np.int64],
    posting: NDArray[np.int32],
) -> Floats:
    """How well postings fit the goal in mind."""
    postings = catalogue.postings
    m, g = pages.member, pages.goal
    o, s = members.occupation[m, g][page], members.speciality[m, g][page]
    same = postings.occupation[posting] == o
    relevance = np.where(
        same, 1.0, 0.5 * catalogue.occupations.closeness[o, postings.occupation[posting]]
    )
    relevance = relevance.astype(np.float32)
    relevance += 0.6 * (same & (postings.speciality[posting] == s))
    apart = np.abs(postings.level[posting] - members.level[m, g][page])
    relevance += np.array([0.45, 0.05, -0.35, -0.6], np.float32)[apart]
    relevance += 0.45 * (postings.industry[posting] == members.industry[m, g][page])
    city = postings.city[posting]
    elsewhere = (city != members.city[m][page]) & (city != REMOTE_CITY)
    relevance -= 0.25 * (members.choosy[m][page] & elsewhere)
    return relevance


def _outcomes(
    members: Members,
    pages: Pages,
    page: NDArray[np.int64],
    position: NDArray[np.int64],
    relevance: Floats,
    luck: Floats,
    rng: np.random.Generator,
) -> NDArray[np.int8]:
    """Look at a place, open the posting, then act on it: the strongest action is what is kept."""
    looked = (1.0 + np.arange(PAGE_SIZE.max(), dtype=np.float32)) ** -0.6
    opened = luck[0] < looked[position] * _logistic(2.6 * relevance - 4.1)
    decides = rng.random(pages.visit[-1] + 1) < DECIDES
    appetite = members.appetite[pages.member] - 3.0 * ~decides[pages.visit]
    apply = _logistic(3.2 * relevance - 7.0 + appetite[page])
    save = 0.7 * _logistic(3.0 * relevance - 6.0)
    dismiss = 0.6 * _logistic(1.6 - 3.0 * relevance)
    outcome = np.full(len(page), IGNORED, np.int8)
    outcome[opened] = VIEW
    outcome[opened & (luck[2] < dismiss)] = DISMISS
    outcome[opened & (luck[3] < save)] = SAVE
    outcome[opened & (luck[1] < apply)] = APPLY
    return outcome


def _logistic(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def _open_something(
    pages: Pages,
    page: NDArray[np.int64],
    relevance: Floats,
    outcome: NDArray[np.int8],
    luck: Floats,
    navigated: NDArray[np.bool_],
) -> None:
    """A visit that left no trace would not be in the log: its likeliest posting was opened."""
    visit = pages.visit[page]
    traces = np.bincount(visit, outcome != IGNORED, minlength=pages.visit[-1] + 1)
    traces += np.bincount(pages.visit, pages.channel == SEARCH, minlength=len(traces))
    starts = np.searchsorted(visit, np.arange(len(traces)))
    score = np.where(navigated, -1.0, relevance + luck[0])
    best = np.maximum.reduceat(score, starts)
    likeliest = (score == best[visit]) & (traces[visit] == 0)
    outcome[likeliest] = VIEW


def _apply_once(
    member: NDArray[np.int64], posting: NDArray[np.int32], outcome: NDArray[np.int8]
) -> None:
    at = np.flatnonzero(outcome == APPLY)
    key = member[at] << 32 | posting[at]
    _, first = np.unique(key, return_index=True)
    again = np.ones(len(at), bool)
    again[first] = False
    outcome[at[again]] = VIEW


def query_kind(form: int) -> str:
    """Name of a form of query."""
    return FORMS[form]
