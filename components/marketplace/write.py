"""Turn simulated trails into tables: actions, impressions, responses, and the truth apart."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.marketplace.catalogue import ANY, INDUSTRIES, Catalogue
from components.marketplace.config import MarketplaceConfig
from components.marketplace.simulate import (
    ACTIONS,
    APPLY,
    CHANNELS,
    DAY,
    IGNORED,
    INTERACTION,
    JOB_SEARCH,
    LONG_VIEW,
    MINUTE,
    NAVIGATION,
    NOTIFICATION,
    SEARCH,
    SHORT_VIEW,
    VIEW,
    Trails,
)
from components.marketplace.tables import save
from components.marketplace.words import CITIES, QUERY_EXTRAS, REMOTE

RESPONSES = ("rejected", "interview", "confirmed_hire")
OUTCOMES = pa.array(["", *ACTIONS])
APART = 31 * MINUTE


@dataclass(frozen=True, slots=True)
class Texts:
    """The catalogue's texts as Arrow arrays, made once per process."""

    companies: pa.Array
    titles: pa.Array
    items: pa.Array
    queries: pa.Array
    extras: pa.Array
    actions: pa.Array
    channels: pa.Array

    @classmethod
    def of(cls, catalogue: Catalogue) -> "Texts":
        """Collect the texts of `catalogue`."""
        return cls(
            companies=pa.array(catalogue.companies),
            titles=pa.array(catalogue.postings.titles),
            items=pa.array([item_id(i) for i in range(len(catalogue.postings.titles))]),
            queries=pa.array(catalogue.queries.texts),
            extras=pa.array([*CITIES, *QUERY_EXTRAS]),
            actions=pa.array(ACTIONS),
            channels=pa.array(CHANNELS),
        )


@dataclass(frozen=True, slots=True)
class Events:
    """What happened, in order; `page` and `slot` are rows of the trails (slot -1: none)."""

    page: NDArray[np.int64]
    slot: NDArray[np.int64]
    action: NDArray[np.int64]
    ts: NDArray[np.int64]


def item_id(posting: int) -> str:
    """The id of a posting in every table."""
    return f"j{posting:07d}"


def member_id(member: int) -> str:
    """The id of a member in every table."""
    return f"m{member:08d}"


def write_chunk(
    catalogue: Catalogue,
    texts: Texts,
    config: MarketplaceConfig,
    trails: Trails,
    rng: np.random.Generator,
    places: tuple[Path, Path],
    number: int,
) -> dict[str, int]:
    """Write one chunk of members as one part of every table.

    Returns:
        Counts of rows, and the first and last time.
    """
    feed, truth = places
    events = _events(config, trails, rng)
    actions = _actions(catalogue, texts, config, trails, events)
    part = f"part-{number:05d}.parquet"
    save(actions, feed / "actions" / part)
    impressions = _impressions(texts, trails, events)
    save(impressions, feed / "impressions" / part)
    responses = _responses(catalogue, texts, trails, events, rng)
    save(responses, feed / "responses" / part)
    save(_goals(catalogue, trails), truth / "members" / part)
    times = actions["ts"].to_numpy()
    return {
        "actions": len(actions),
        "impressions": len(impressions),
        "responses": len(responses),
        "first_ts": int(times.min()),
        "last_ts": int(times.max()),
    }


def _events(config: MarketplaceConfig, trails: Trails, rng: np.random.Generator) -> Events:
    pages, slots = trails.pages, trails.slots
    acted = np.flatnonzero(slots.outcome != IGNORED)
    answers = 1.5 * slots.relevance[acted] + trails.members.ability[pages.member[slots.page[acted]]]
    answered = (slots.outcome[acted] == APPLY) & (
        rng.random(len(acted)) < 1 / (1 + np.exp(4.6 - answers))
    )
    per_slot = 1 + answered
    slot_of = np.repeat(acted, per_slot)
    second = np.r_[False, slot_of[1:] == slot_of[:-1]]
    per_page = 1 + np.bincount(slots.page[slot_of], minlength=len(pages.member))
    page = np.repeat(np.arange(len(per_page)), per_page)
    slot = np.full(len(page), -1)
    is_slot = np.ones(len(page), bool)
    is_slot[np.cumsum(per_page) - per_page] = False
    slot[is_slot] = slot_of
    action = np.full(len(page), JOB_SEARCH)
    action[is_slot] = np.where(second, INTERACTION, slots.outcome[slot_of])
    return Events(page, slot, action, _times(config, trails, rng, page, is_slot))


def _times(
    config: MarketplaceConfig,
    trails: Trails,
    rng: np.random.Generator,
    page: NDArray[np.int64],
    is_slot: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Seconds to minutes between events, more than the idle limit between visits."""
    members, pages = trails.members, trails.pages
    pause = np.exp(3.4 + 0.9 * rng.standard_normal(len(page))).clip(1, 500)
    pause = np.where(is_slot, pause, 0.25 * pause) * 1_000_000
    visit = pages.visit[page]
    starts = np.searchsorted(visit, np.arange(pages.visit[-1] + 1))
    pause[starts] = 0
    run = np.cumsum(pause.astype(np.int64))
    inside = run - run[starts][visit]
    lasts = np.r_[starts[1:], len(page)] - 1
    busy = inside[lasts] + APART

    member = pages.member[page[starts]]
    firsts = np.cumsum(members.visits) - members.visits
    total = np.add.reduceat(busy, firsts)
    free = np.maximum(config.days * DAY - total, 0)
    gaps = rng.pareto(1.1, len(busy)).clip(max=60) + 0.02
    gaps[firsts] = 0
    span = free * rng.beta(1.6, 0.9, len(free)) * (members.visits > 1)
    scale = span / np.maximum(np.add.reduceat(gaps, firsts), 1e-9)
    waits = (gaps * scale[member]).astype(np.int64)
    waits[firsts] = ((free - span) * rng.random(len(free))).astype(np.int64)
    ends = np.cumsum(waits + busy)
    begin = ends - busy
    before = np.r_[0, ends[firsts[1:] - 1]]
    epoch = int(np.datetime64(config.start, "us").astype(np.int64))
    return epoch + (begin - before[member])[visit] + inside


def _actions(
    catalogue: Catalogue, texts: Texts, config: MarketplaceConfig, trails: Trails, events: Events
) -> pa.Table:
    pages, slots = trails.pages, trails.slots
    kept = np.flatnonzero((events.slot >= 0) | (pages.channel[events.page] == SEARCH))
    page, slot, action = events.page[kept], events.slot[kept], events.action[kept]
    none = slot < 0
    posting = slots.posting[slot]
    if config.micro_views:
        long = slots.relevance[slot] > 1.1
        action = np.where(action == VIEW, np.where(long, LONG_VIEW, SHORT_VIEW), action)
    channel = np.where(action == INTERACTION, NOTIFICATION, pages.channel[page])
    return pa.table(
        {
            "member_id": _member_ids(trails, pages.member[page]),
            "ts": events.ts[kept],
            "sequence": np.arange(len(kept)),
            "channel": _coded(channel, texts.channels),
            "action": _coded(action, texts.actions),
            "query": _query_texts(texts, pages.query[page], pages.extra[page], ~none),
            "company": _coded(catalogue.postings.company[posting], texts.companies, none),
            "title": _coded(posting, texts.titles, none),
            "item_id": _coded(posting, texts.items, none),
        }
    )


def _impressions(texts: Texts, trails: Trails, events: Events) -> pa.Table:
    """One row per page shown: its postings from the top, and what became of each."""
    pages, slots = trails.pages, trails.slots
    shown = pages.channel != NAVIGATION
    page = np.flatnonzero(shown)
    at = np.flatnonzero(shown[slots.page])
    size = np.bincount(slots.page[at], minlength=len(shown))[page]
    offsets = pa.array(np.r_[0, np.cumsum(size)].astype(np.int32))
    opened = np.searchsorted(events.page, page)
    return pa.table(
        {
            "member_id": _member_ids(trails, pages.member[page]),
            "ts": events.ts[opened],
            "channel": _coded(pages.channel[page], texts.channels),
            "query": _query_texts(
                texts, pages.query[page], pages.extra[page], pages.query[page] == ANY
            ),
            "item_ids": pa.ListArray.from_arrays(offsets, _coded(slots.posting[at], texts.items)),
            "outcomes": pa.ListArray.from_arrays(
                offsets, _coded(slots.outcome[at].astype(np.int64) + 1, OUTCOMES)
            ),
        }
    )


def _responses(
    catalogue: Catalogue, texts: Texts, trails: Trails, events: Events, rng: np.random.Generator
) -> pa.Table:
    """Recruiters' answers, days later; the better the fit the better the answer, many give none."""
    pages, slots = trails.pages, trails.slots
    applied = np.flatnonzero(events.action == APPLY)
    slot = events.slot[applied]
    member = pages.member[slots.page[slot]]
    score = 1.6 * (slots.relevance[slot] - 1.4) + 0.7 * trails.members.ability[member]
    score = score + rng.logistic(0, 0.7, len(slot))
    kind = (score > 1.0).astype(np.int64) + (score > 2.4)
    answered = np.flatnonzero(score > -0.6)
    delay = rng.gamma(1.5, 4 * DAY * (1 + kind)).astype(np.int64)
    posting = slots.posting[slot][answered]
    return pa.table(
        {
            "member_id": _member_ids(trails, member[answered]),
            "company": _coded(catalogue.postings.company[posting], texts.companies),
            "title": _coded(posting, texts.titles),
            "item_id": _coded(posting, texts.items),
            "applied_ts": events.ts[applied][answered],
            "response": _coded(kind[answered], pa.array(RESPONSES)),
            "response_ts": (events.ts[applied] + delay)[answered],
        }
    )


def _goals(catalogue: Catalogue, trails: Trails) -> pa.Table:
    members = trails.members
    row = np.repeat(np.arange(len(members.goals)), members.goals)
    goal = np.arange(len(row)) - np.repeat(np.cumsum(members.goals) - members.goals, members.goals)
    return pa.table(
        {
            "member_id": _member_ids(trails, row),
            "goal": goal.astype(np.int8),
            "latest": goal == members.goals[row] - 1,
            "until": members.until[row, goal],
            "occupation": members.occupation[row, goal].astype(np.int32),
            "speciality": members.speciality[row, goal].astype(np.int32),
            "level": members.level[row, goal].astype(np.int8),
            "industry": members.industry[row, goal].astype(np.int8),
            "city": members.city[row].astype(np.int8),
        }
    )


def write_postings(catalogue: Catalogue, feed: Path) -> None:
    """Write what every employer says about a posting."""
    postings = catalogue.postings
    places = pa.array([*CITIES, REMOTE])
    skills = [
        catalogue.skills[o][s]
        for o, s in zip(postings.occupation, postings.speciality, strict=True)
    ]
    table = pa.table(
        {
            "item_id": [item_id(i) for i in range(len(postings.titles))],
            "company": pa.array(catalogue.companies).take(pa.array(postings.company)),
            "title": postings.titles,
            "industry": pa.array(INDUSTRIES).take(pa.array(postings.industry)),
            "place": places.take(pa.array(postings.city)),
            "skills": skills,
        }
    )
    save(table, feed / "postings" / "part-00000.parquet")


def _member_ids(trails: Trails, rows: NDArray[np.int64]) -> pa.Array:
    first = trails.members.first
    names = pa.array([member_id(first + i) for i in range(len(trails.members.visits))])
    return _coded(rows, names)


def _query_texts(
    texts: Texts, query: NDArray[np.int64], extra: NDArray[np.int64], none: NDArray[np.bool_]
) -> pa.Array:
    width = len(texts.extras) + 1
    pairs, code = np.unique(np.where(none, 0, query * width + extra + 1), return_inverse=True)
    base = texts.queries.take(pa.array(pairs // width)).to_pylist()
    more = [None, *texts.extras.to_pylist()]
    words = [
        f"{text} {more[e]}" if e else text for text, e in zip(base, pairs % width, strict=True)
    ]
    return _coded(code, pa.array(words), none)


def _coded(
    codes: NDArray[np.integer], words: pa.Array, none: NDArray[np.bool_] | None = None
) -> pa.DictionaryArray:
    """Strings by number; only the words in use are kept."""
    if none is not None:
        codes = np.where(none, 0, codes)
    used = np.zeros(len(words), bool)
    used[codes] = True
    number = np.cumsum(used, dtype=np.int32) - 1
    return pa.DictionaryArray.from_arrays(
        pa.array(number[codes], mask=none), words.take(pa.array(np.flatnonzero(used)))
    )
