"""Training lists: a clicked item and others of the same impression that were not clicked."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.news.impressions import Impressions
from components.news.vectors import NewsVectors
from components.ranking.batches import epoch_order


class Pairs(NamedTuple):
    """m pairs of a member and an item, with every distinct vector once.

    Attributes:
        users: float32[b, d], u; zeros for a member without history.
        items: float32[k, d], v; zeros for an unknown item.
        user: int32[m], row in `users`.
        item: int32[m], row in `items`.
    """

    users: NDArray[np.float32]
    items: NDArray[np.float32]
    user: NDArray[np.int32]
    item: NDArray[np.int32]


def clicks_to_learn(impressions: Impressions, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the clicked candidates of some impressions lie, each to be a list.

    Impressions with nothing that was not clicked have no negatives, and make none.
    """
    positions, offsets = impressions.positions(rows)
    clicked = impressions.clicked[positions] > 0
    clicks = np.append(0, np.cumsum(clicked))[offsets]
    mixed = np.diff(clicks) < np.diff(offsets)
    return positions[clicked & np.repeat(mixed, np.diff(offsets))]


def draw_lists(
    impressions: Impressions,
    clicks: NDArray[np.int64],
    negatives: int,
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each click's impression, and int64[b, 1 + negatives] candidates, the click first.

    Negatives are drawn without replacement from an impression that has enough, else with.
    """
    owner = np.searchsorted(impressions.offsets, clicks, side="right") - 1
    positions, offsets = impressions.positions(owner)
    passed_over = impressions.clicked[positions] == 0
    counts = np.diff(np.append(0, np.cumsum(passed_over))[offsets])
    positions, of = positions[passed_over], np.repeat(np.arange(len(clicks)), counts)
    shuffled = positions[np.lexsort((random.random(len(positions)), of))]
    starts = np.cumsum(counts) - counts
    place = np.broadcast_to(np.arange(negatives), (len(clicks), negatives))
    again = random.integers(0, counts[:, None], (len(clicks), negatives))
    chosen = np.where(counts[:, None] >= negatives, place, again)
    drawn = shuffled[starts[:, None] + chosen]
    return owner, np.concatenate([clicks[:, None], drawn], axis=1)


def training_pairs(
    impressions: Impressions,
    clicks: NDArray[np.int64],
    vectors: NewsVectors,
    *,
    step: int,
    batch: int,
    negatives: int,
    seed: int,
) -> Pairs:
    """Return a step's lists, one behind the other; a pure function of its arguments."""
    epoch, place = divmod(step, max(1, len(clicks) // batch))
    order = epoch_order(len(clicks), epoch, seed)
    chosen = clicks[order[place * batch : (place + 1) * batch]]
    random = np.random.default_rng([seed, step])
    owner, candidates = draw_lists(impressions, chosen, negatives, random)
    return gather(
        vectors,
        impressions.history[owner],
        np.repeat(np.arange(len(owner), dtype=np.int32), 1 + negatives),
        impressions.items[candidates.ravel()],
    )


def gather(
    vectors: NewsVectors,
    histories: NDArray[np.int32],
    user: NDArray[np.int32],
    items: NDArray[np.int32],
) -> Pairs:
    """Cut vectors out.

    Args:
        vectors: of all.
        histories: int32[b], rows of `vectors.users`.
        user: int32[m], which of them each pair has.
        items: int32[m], row of `vectors.items` of each pair.
    """
    distinct, item = np.unique(items, return_inverse=True)
    return Pairs(
        vectors.users[histories].astype(np.float32),
        vectors.items[distinct].astype(np.float32),
        user,
        item.astype(np.int32),
    )
