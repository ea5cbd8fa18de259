"""What members read and were shown: everything of some members at a time, as flat arrays."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.newsroom.catalogue import (
    DEV,
    EDGES,
    HISTORY,
    NONE,
    TEST,
    TRAIN,
    Catalogue,
    Ordered,
    draw_entities,
    grouped,
)
from components.newsroom.config import NewsroomConfig

SHORTEST_PAGE, LONGEST_PAGE = 5, 300
INTERESTS, FAVOURITES = 4, 4
CONSIDERED = 6
"""Items a member weighs for each click of the history, which tells of no page."""
OWN, KNOWN, GOOD = 2.0, 1.5, 0.6
"""How much a click is drawn by the member's interest, a favourite entity, the item's quality."""


class Members(NamedTuple):
    """n members.

    Attributes:
        interests: int64[2, n, INTERESTS], topics before and after the member's drift.
        shares: float64[n, INTERESTS], how much of the member each has; rows add up to 1.
        drifts: float64[n], day of the drift.
        favourites: int64[n, FAVOURITES], entities.
    """

    interests: NDArray[np.int64]
    shares: NDArray[np.float64]
    drifts: NDArray[np.float64]
    favourites: NDArray[np.int64]


class Clicks(NamedTuple):
    """Items read, by member and then by time: member and item int64[n], day float64[n]."""

    member: NDArray[np.int64]
    item: NDArray[np.int64]
    day: NDArray[np.float64]

    def and_then(self, later: "Clicks") -> "Clicks":
        """Add later clicks of the same members."""
        member = np.concatenate([self.member, later.member])
        day = np.concatenate([self.day, later.day])
        order = np.lexsort((day, member))
        return Clicks(member[order], np.concatenate([self.item, later.item])[order], day[order])


class Pages(NamedTuple):
    """Pages shown in one period.

    Attributes:
        member: int64[n].
        day: float64[n].
        offsets: int64[n + 1] into the items of all pages.
        item: int64[m], in the order shown.
        clicked: bool[m].
    """

    member: NDArray[np.int64]
    day: NDArray[np.float64]
    offsets: NDArray[np.int64]
    item: NDArray[np.int64]
    clicked: NDArray[np.bool_]

    def clicks(self) -> Clicks:
        """Give what was clicked on the pages."""
        page = np.repeat(np.arange(len(self.member)), np.diff(self.offsets))[self.clicked]
        return Clicks(self.member[page], self.item[self.clicked], self.day[page])


class Newsroom:
    """Draws members and what they do.

    Args:
        catalogue: what can be read.
        config: rates.
    """

    def __init__(self, catalogue: Catalogue, config: NewsroomConfig):
        self.catalogue, self._config = catalogue, config
        self._entities = grouped(catalogue.entity_topic, len(catalogue.topics))
        self._pools = [self._pool(period) for period in (HISTORY, TRAIN, DEV, TEST)]

    def members(self, rng: np.random.Generator, count: int) -> Members:
        """Draw members with a few interests each, one of which may change."""
        config, topics = self._config, self.catalogue.popularity
        before = rng.choice(len(topics), (count, INTERESTS), p=topics)
        after = before.copy()
        changing = rng.random(count) < config.drift
        after[changing, 0] = rng.choice(len(topics), np.count_nonzero(changing), p=topics)
        shares = rng.gamma(0.6, size=(count, INTERESTS)) + 1e-9
        favourites = draw_entities(rng, self._entities, before, stray=0.0)
        return Members(
            np.stack([before, after]),
            shares / shares.sum(1, keepdims=True),
            rng.uniform(0, EDGES[-1], count),
            favourites,
        )

    def history(self, rng: np.random.Generator, members: Members) -> Clicks:
        """Draw what members read in the first four weeks."""
        config, count = self._config, len(members.drifts)
        # A lognormal distribution's mean lies half its variance above its median, in logarithms.
        clicks = np.ceil(rng.lognormal(np.log(config.history_clicks) - 0.405, 0.9, count))
        clicks = clicks.astype(np.int64)
        clicks[rng.random(count) < config.without_history] = 0
        member = np.repeat(np.arange(count), clicks)
        day = rng.uniform(0, EDGES[TRAIN], len(member))
        order = np.lexsort((day, member))
        considered = np.repeat(np.arange(len(member)), CONSIDERED)
        item = self._shown(rng, members, member[considered], day[considered], HISTORY)
        liking = self._liking(rng, members, member[considered], day[considered], item)
        best = liking.reshape(-1, CONSIDERED).argmax(1)
        item = item.reshape(-1, CONSIDERED)[np.arange(len(member)), best]
        first = _first_of_each(member, item, order)
        return Clicks(member[first], item[first], day[first])

    def pages(self, rng: np.random.Generator, members: Members, period: int) -> Pages:
        """Draw the pages of one period, and what is clicked on each: one item at least."""
        config, count = self._config, len(members.drifts)
        length = EDGES[period + 1] - EDGES[period]
        expected = config.impressions * length / (EDGES[DEV] - EDGES[TRAIN])
        member = np.repeat(np.arange(count), rng.poisson(expected, count))
        day = EDGES[period] + length * rng.random(len(member))
        size = rng.lognormal(np.log(config.candidates), 0.7, len(member)).astype(np.int64)
        size = size.clip(SHORTEST_PAGE, LONGEST_PAGE)
        page, item = self._distinct(rng, members, member, day, size, period)
        offsets = np.searchsorted(page, np.arange(len(member) + 1))
        liking = self._liking(rng, members, member[page], day[page], item)
        rank = np.empty(len(page), np.int64)
        rank[np.lexsort((-liking, page))] = np.arange(len(page))
        rank -= offsets[page]
        clicks = 1 + rng.poisson(0.4, len(member))
        return Pages(member, day, offsets, item, rank < clicks[page])

    def _distinct(
        self,
        rng: np.random.Generator,
        members: Members,
        member: NDArray[np.int64],
        day: NDArray[np.float64],
        size: NDArray[np.int64],
        period: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Fill pages of a size, fewer where there is not enough to show; places say nothing."""
        page = np.repeat(np.arange(len(member)), size * 3 // 2 + 2)
        item = self._shown(rng, members, member[page], day[page], period)
        key = np.sort(page * len(self.catalogue.topic) + item)
        page, item = np.divmod(key[np.diff(key, prepend=-1) > 0], len(self.catalogue.topic))
        item = item[np.lexsort((rng.random(len(page)), page))]
        place = np.arange(len(page)) - np.searchsorted(page, page)
        return page[place < size[page]], item[place < size[page]]

    def _pool(self, period: int) -> Ordered:
        """Group what is shown in a period by topic, earliest first: its own items and a few old."""
        published, quality = self.catalogue.published, self.catalogue.quality
        own = np.flatnonzero(self.catalogue.period == period)
        older = np.flatnonzero(self.catalogue.period < period)
        carried = round(len(own) * (1 / self._config.new_items - 1))
        lasting = quality[older] + published[older] / 7
        older = older[np.argsort(-lasting, kind="stable")[:carried]]
        shown = np.concatenate([older, own])
        shown = shown[np.argsort(published[shown], kind="stable")]
        by_topic = grouped(self.catalogue.topic[shown], len(self.catalogue.topics))
        return Ordered(shown[by_topic.numbers], by_topic.offsets)

    def _shown(
        self,
        rng: np.random.Generator,
        members: Members,
        member: NDArray[np.int64],
        day: NDArray[np.float64],
        period: int,
    ) -> NDArray[np.int64]:
        """Draw an item for each place, from the member's interests or from everybody's."""
        pool = self._pools[period]
        popularity = self.catalogue.popularity * (pool.sizes() > 0)
        everybody = np.cumsum(popularity / popularity.sum())
        topic = np.searchsorted(everybody, rng.random(len(member)) * everybody[-1], side="right")
        personal = np.flatnonzero(rng.random(len(member)) < self._config.personal)
        whose = member[personal]
        edges = np.cumsum(members.shares, axis=1)[:, :-1][whose]
        which = (rng.random((len(whose), 1)) >= edges).sum(1)
        stage = (day[personal] >= members.drifts[whose]).astype(np.int64)
        own = members.interests[stage, whose, which]
        there = pool.sizes()[own] > 0
        topic[personal[there]] = own[there]
        published = (day - EDGES[period]) / (EDGES[period + 1] - EDGES[period])
        visible = np.maximum(1, np.ceil(pool.sizes()[topic] * published)).astype(np.int64)
        # Recent items are shown most, and of two the better one.
        draws = visible * (1 - rng.random((2, len(member))) ** 1.5)
        draws = np.minimum(draws.astype(np.int64), visible - 1)
        one, other = pool.numbers[pool.offsets[topic] + draws]
        return np.where(self.catalogue.quality[one] >= self.catalogue.quality[other], one, other)

    def _liking(
        self,
        rng: np.random.Generator,
        members: Members,
        member: NDArray[np.int64],
        day: NDArray[np.float64],
        item: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Tell how much a member would click each item, luck included."""
        stage = (day >= members.drifts[member]).astype(np.int64)
        topic = self.catalogue.topic[item]
        share = np.zeros(len(item))
        for column in range(INTERESTS):
            own = members.interests[stage, member, column] == topic
            share += own * members.shares[member, column]
        known = np.zeros(len(item), bool)
        for name in self.catalogue.title_entities.T:
            entity = name[item]
            for favourite in members.favourites.T:
                known |= (entity != NONE) & (favourite[member] == entity)
        quality = self.catalogue.quality[item]
        return OWN * np.sqrt(share) + KNOWN * known + GOOD * quality + rng.gumbel(size=len(item))


def _first_of_each(
    member: NDArray[np.int64], item: NDArray[np.int64], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Keep of each member's rows, taken in `order`, the first with an item."""
    key = member[order] * (int(item.max(initial=0)) + 1) + item[order]
    _, first = np.unique(key, return_index=True)
    return order[np.sort(first)]
