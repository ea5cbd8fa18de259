"""The generated news: topics, entities that belong to them, and items published over seven weeks.

The first four weeks are history; the training part covers the next six days, dev the day after and
test the week after that, as in MIND.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.newsroom.config import NewsroomConfig
from components.newsroom.words import TOPICS

HISTORY, TRAIN, DEV, TEST = range(4)
EDGES = np.array([0.0, 28.0, 34.0, 35.0, 42.0])
"""Days at which the periods begin, and at which the last one ends."""
PERIOD_SHARES = np.array([0.5, 0.25, 0.07, 0.18])
"""Shares of the items that are published in each period."""
NONE = -1


class Catalogue(NamedTuple):
    """What can be read: T topics, E entities, N items.

    Attributes:
        topics: category, subcategory and words of each topic.
        popularity: float64[T], shares of the topics in what everybody is shown.
        entity_topic: int64[E], where an entity belongs.
        topic: int64[N], of each item.
        period: int64[N], in which it was published.
        published: float64[N], days from the start.
        quality: float64[N], what makes everybody click, standard normal.
        title_entities: int64[N, 2], named in its title; `NONE` fills up.
        abstract_entities: int64[N, 2], named in its abstract.
    """

    topics: list[tuple[str, str, list[str]]]
    popularity: NDArray[np.float64]
    entity_topic: NDArray[np.int64]
    topic: NDArray[np.int64]
    period: NDArray[np.int64]
    published: NDArray[np.float64]
    quality: NDArray[np.float64]
    title_entities: NDArray[np.int64]
    abstract_entities: NDArray[np.int64]


class Ordered(NamedTuple):
    """Numbers grouped by topic.

    Attributes:
        numbers: int64[n], grouped.
        offsets: int64[T + 1], where each topic's begin.
    """

    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def sizes(self) -> NDArray[np.int64]:
        """Count each topic's numbers, int64[T]."""
        return np.diff(self.offsets)


def build_catalogue(config: NewsroomConfig, *, seed: int) -> Catalogue:
    """Draw topics' popularity, entities and items.

    Args:
        config: how many.
        seed: decides everything random.
    """
    rng = np.random.default_rng([seed, 0])
    topics = [
        (category, subcategory, words.split())
        for category, subcategories in TOPICS.items()
        for subcategory, words in subcategories.items()
    ]
    popularity = np.array((rng.permutation(len(topics)) + 3.0) ** -0.7, np.float64)
    popularity /= popularity.sum()
    entity_topic = rng.choice(len(topics), config.entities, p=popularity)
    topic = rng.choice(len(topics), config.items, p=popularity)
    period = rng.choice(len(PERIOD_SHARES), config.items, p=PERIOD_SHARES)
    length = np.diff(EDGES)[period]
    entities = _entities(rng, grouped(entity_topic, len(topics)), topic, config)
    return Catalogue(
        topics=topics,
        popularity=popularity,
        entity_topic=entity_topic,
        topic=topic,
        period=period,
        published=EDGES[period] + length * rng.random(config.items),
        quality=rng.standard_normal(config.items),
        title_entities=entities[:, :2],
        abstract_entities=entities[:, 2:],
    )


def grouped(topic: NDArray[np.int64], topics: int) -> Ordered:
    """Group rows by their topic, each group in the order of the rows."""
    counts = np.bincount(topic, minlength=topics)
    return Ordered(np.argsort(topic, kind="stable"), np.append(0, np.cumsum(counts)))


def draw_entities(
    rng: np.random.Generator, entities: Ordered, topic: NDArray[np.int64], *, stray: float
) -> NDArray[np.int64]:
    """Draw an entity for each topic given, the first ones of a topic most often.

    Args:
        rng: source of luck.
        entities: by topic.
        topic: int64 of any shape.
        stray: share drawn from all entities instead; all where a topic has none.

    Returns:
        int64 of the same shape.
    """
    size = entities.sizes()[topic]
    position = np.floor(size * rng.random(topic.shape) ** 2.5).astype(np.int64)
    anywhere = (rng.random(topic.shape) < stray) | (size == 0)
    total = len(entities.numbers)
    place = np.where(
        anywhere, rng.integers(0, total, topic.shape), entities.offsets[topic] + position
    )
    return entities.numbers[np.minimum(place, total - 1)]


def _entities(
    rng: np.random.Generator, entities: Ordered, topic: NDArray[np.int64], config: NewsroomConfig
) -> NDArray[np.int64]:
    """Draw two entities for each item's title and two for its abstract, or fewer."""
    count = len(topic)
    drawn = draw_entities(rng, entities, np.repeat(topic, 4).reshape(count, 4), stray=0.1)
    drawn[:, 1:][rng.random((count, 3)) < (0.6, 0.3, 0.6)] = NONE
    drawn[:, 1][drawn[:, 1] == drawn[:, 0]] = NONE
    drawn[:, 3][drawn[:, 3] == drawn[:, 2]] = NONE
    drawn[rng.random(count) < config.without_entities] = NONE
    return drawn
