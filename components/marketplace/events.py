"""In which order and when everything happened."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.codes import APPLY, DAY, IGNORED, INTERACTION, JOB_SEARCH, MINUTE
from components.marketplace.config import MarketplaceConfig
from components.marketplace.simulate import Trails

# Between visits, beyond the idle limit of 30 minutes that divides sessions.
APART = 31 * MINUTE
LONGEST_PAUSE = 500
SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Events:
    """What happened, in order; a page's own event comes before those of its places.

    Attributes:
        page: row in `Pages`.
        slot: row in `Slots`, or -1 for the page itself (JOB_SEARCH if it was searched for).
        action: index into ACTIONS.
        ts: microseconds UTC.
    """

    page: NDArray[np.int64]
    slot: NDArray[np.int64]
    action: NDArray[np.int64]
    ts: NDArray[np.int64]


def order_events(config: MarketplaceConfig, trails: Trails, *, rng: np.random.Generator) -> Events:
    """Put pages and actions in order, add recruiters' early interest, and give all a time."""
    pages, slots = trails.pages, trails.slots
    acted = np.flatnonzero(slots.outcome != IGNORED)
    noticed = _noticed(trails, acted, rng)
    slot_of = np.repeat(acted, 1 + noticed)
    second = np.diff(slot_of, prepend=-1) == 0
    per_page = 1 + np.bincount(slots.page[slot_of], minlength=len(pages.member))
    page = np.repeat(np.arange(len(per_page)), per_page)
    of_slot = np.diff(page, prepend=-1) == 0
    slot, action = np.full(len(page), -1), np.full(len(page), JOB_SEARCH)
    slot[of_slot] = slot_of
    action[of_slot] = np.where(second, INTERACTION, slots.outcome[slot_of])
    return Events(page, slot, action, _times(config, trails, page=page, of_slot=of_slot, rng=rng))


def _noticed(
    trails: Trails, acted: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Applications that a recruiter reacts to within the visit."""
    slots = trails.slots
    ability = trails.members.ability[trails.pages.member[slots.page[acted]]]
    odds = np.exp(1.5 * slots.relevance[acted] + ability - 4.6)
    return (slots.outcome[acted] == APPLY) & (rng.random(len(acted)) < odds / (1 + odds))


def _times(
    config: MarketplaceConfig,
    trails: Trails,
    *,
    page: NDArray[np.int64],
    of_slot: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Seconds to minutes between events; visits in bursts over part of the period."""
    visit = trails.pages.visit[page]
    starts = np.searchsorted(visit, np.arange(visit[-1] + 1))
    seconds = np.exp(3.4 + 0.9 * rng.standard_normal(len(page))).clip(1, LONGEST_PAUSE)
    pause = (np.where(of_slot, seconds, 0.25 * seconds) * SECOND).astype(np.int64)
    pause[starts] = 0
    run = np.cumsum(pause)
    inside = run - run[starts][visit]
    length = inside[np.append(starts[1:], len(page)) - 1]
    epoch = int(np.datetime64(config.start, "us").astype(np.int64))
    return epoch + _visit_times(config, trails, length, rng)[visit] + inside


def _visit_times(
    config: MarketplaceConfig, trails: Trails, length: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """When each visit begins, microseconds after the start of the period."""
    visits = trails.members.visits
    firsts = np.cumsum(visits) - visits
    busy = length + APART
    free = np.maximum(config.days * DAY - np.add.reduceat(busy, firsts), 0)
    span = free * rng.beta(1.6, 0.9, len(visits)) * (visits > 1)
    gaps = rng.pareto(1.1, len(busy)).clip(max=60) + 0.02
    gaps[firsts] = 0
    scale = span / np.maximum(np.add.reduceat(gaps, firsts), 1e-9)
    waits = (gaps * np.repeat(scale, visits)).astype(np.int64)
    waits[firsts] = ((free - span) * rng.random(len(visits))).astype(np.int64)
    ends = np.cumsum(waits + busy)
    begins = ends - busy
    return begins - np.repeat((begins - waits)[firsts], visits)
