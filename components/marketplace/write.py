"""Turn simulated trails into tables: the feed's, and the truth's apart."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.marketplace.catalogue import Catalogue
from components.marketplace.codes import (
    ACTIONS,
    APPLY,
    CHANNELS,
    INTERACTION,
    LONG_VIEW,
    NAVIGATION,
    NOTIFICATION,
    RESPONSES,
    SEARCH,
    SHORT_VIEW,
    VIEW,
)
from components.marketplace.config import MarketplaceConfig
from components.marketplace.events import Events, order_events
from components.marketplace.occupations import NEIGHBOURS
from components.marketplace.postings import INDUSTRIES
from components.marketplace.queries import ANY
from components.marketplace.response import answer
from components.marketplace.simulate import Trails
from components.marketplace.tables import Texts, coded, save
from components.marketplace.words import CITIES, REMOTE

# A posting opened with more relevance than this is read for longer.
ABSORBING = 1.1


def write_chunk(
    texts: Texts,
    config: MarketplaceConfig,
    trails: Trails,
    *,
    places: dict[str, Path],
    rng: np.random.Generator,
) -> dict[str, int]:
    """Write one chunk of members as one part of every table.

    Args:
        texts: of the catalogue that the trails lead through.
        config: of the marketplace.
        trails: what the members did.
        places: the file for each of `actions`, `impressions`, `responses`, `profiles` (the feed)
            and `members` (the truth).
        rng: source of luck.

    Returns:
        Counts of rows, and the first and last time of an action.
    """
    events = order_events(config, trails, rng=rng)
    chunk = _Chunk(texts, trails, events)
    actions = chunk.actions(micro_views=config.micro_views)
    impressions, responses = chunk.impressions(), chunk.responses(rng)
    save(actions, places["actions"])
    save(impressions, places["impressions"])
    save(responses, places["responses"])
    save(chunk.profiles(rng), places["profiles"])
    save(chunk.goals(), places["members"])
    ts = actions["ts"].to_numpy()
    return {
        "actions": len(actions),
        "impressions": len(impressions),
        "responses": len(responses),
        "first_ts": int(ts.min()),
        "last_ts": int(ts.max()),
    }


class _Chunk:
    def __init__(self, texts: Texts, trails: Trails, events: Events):
        self._texts, self._postings = texts, texts.catalogue.postings
        self._members, self._pages, self._slots = trails.members, trails.pages, trails.slots
        self._events = events
        self._names = texts.member_ids(trails.members.first, len(trails.members.visits))

    def actions(self, *, micro_views: bool) -> pa.Table:
        events, pages, slots = self._events, self._pages, self._slots
        searched = pages.channel[events.page] == SEARCH
        kept = np.flatnonzero((events.slot >= 0) | searched)
        page, slot, action = events.page[kept], events.slot[kept], events.action[kept]
        of_page = slot < 0
        if micro_views:
            read = np.where(slots.relevance[slot] > ABSORBING, LONG_VIEW, SHORT_VIEW)
            action = np.where(action == VIEW, read, action)
        channel = np.where(action == INTERACTION, NOTIFICATION, pages.channel[page])
        return pa.table(
            {
                "member_id": coded(pages.member[page], self._names),
                "ts": events.ts[kept],
                "sequence": np.arange(len(kept)),
                "channel": coded(channel, CHANNELS),
                "action": coded(action, ACTIONS),
                "query": self._texts.queries(pages.query[page], pages.extra[page], ~of_page),
                **self._posting(slots.posting[slot], of_page),
            }
        )

    def impressions(self) -> pa.Table:
        """One row per page shown: its postings from the top, and what became of each."""
        events, pages, slots = self._events, self._pages, self._slots
        shown = pages.channel != NAVIGATION
        page = np.flatnonzero(shown)
        at = np.flatnonzero(shown[slots.page])
        size = np.bincount(slots.page[at], minlength=len(shown))[page]
        offsets = pa.array(np.append(0, np.cumsum(size)).astype(np.int32))
        outcome = coded(slots.outcome[at] + 1, ("", *ACTIONS))
        query = self._texts.queries(pages.query[page], pages.extra[page], pages.query[page] == ANY)
        return pa.table(
            {
                "member_id": coded(pages.member[page], self._names),
                "ts": events.ts[np.searchsorted(events.page, page)],
                "channel": coded(pages.channel[page], CHANNELS),
                "query": query,
                "item_ids": pa.ListArray.from_arrays(
                    offsets, coded(slots.posting[at], self._texts.items)
                ),
                "outcomes": pa.ListArray.from_arrays(offsets, outcome),
            }
        )

    def responses(self, rng: np.random.Generator) -> pa.Table:
        events, slots = self._events, self._slots
        applied = np.flatnonzero(events.action == APPLY)
        slot, ts = events.slot[applied], events.ts[applied]
        member = self._pages.member[slots.page[slot]]
        said = answer(rng, slots.relevance[slot], self._members.ability[member])
        answered = said.answered
        return pa.table(
            {
                "member_id": coded(member[answered], self._names),
                **self._posting(slots.posting[slot][answered]),
                "applied_ts": ts[answered],
                "response": coded(said.kind[answered], RESPONSES),
                "response_ts": (ts + said.delay)[answered],
            }
        )

    def profiles(self, rng: np.random.Generator) -> pa.Table:
        """What members say of themselves: a home, and an occupation that may be out of date."""
        members, occupations = self._members, self._texts.catalogue.occupations
        count = len(members.visits)
        past = occupations.neighbours[members.occupation[:, 0], rng.integers(0, NEIGHBOURS, count)]
        headline = np.where(rng.random(count) < 0.7, members.occupation[:, 0], past)
        years = rng.poisson(1 + 4 * members.level[:, 0])
        return pa.table(
            {
                "member_id": self._names,
                "place": coded(members.city, CITIES),
                "headline": coded(headline, occupations.names),
                "years": years.astype(np.int16),
            }
        )

    def goals(self) -> pa.Table:
        """The truth about each member, one row per goal."""
        members = self._members
        row = np.repeat(np.arange(len(members.goals)), members.goals)
        goal = np.arange(len(row)) - np.searchsorted(row, row)
        return pa.table(
            {
                "member_id": coded(row, self._names),
                "goal": goal.astype(np.int8),
                "latest": goal == members.goals[row] - 1,
                "until": members.until[row, goal],
                "occupation": members.occupation[row, goal].astype(np.int32),
                "speciality": members.speciality[row, goal].astype(np.int32),
                "level": members.level[row, goal].astype(np.int32),
                "industry": members.industry[row, goal].astype(np.int32),
                "city": members.city[row].astype(np.int32),
            }
        )

    def _posting(
        self, posting: NDArray[np.int64], none: NDArray[np.bool_] | None = None
    ) -> dict[str, pa.Array]:
        postings, texts = self._postings, self._texts
        return {
            "company": coded(postings.company[posting], texts.companies, none=none),
            "title": coded(postings.title[posting], texts.titles, none=none),
            "item_id": coded(posting, texts.items, none=none),
        }


def write_postings(texts: Texts, path: Path) -> None:
    """Write what employers say about every posting."""
    catalogue: Catalogue = texts.catalogue
    postings = catalogue.postings
    skills = pa.array([skills for row in catalogue.skills for skills in row])
    kind = postings.occupation * len(catalogue.skills[0]) + postings.speciality
    table = {
        "item_id": texts.items,
        "company": texts.companies.take(pa.array(postings.company)),
        "title": texts.titles.take(pa.array(postings.title)),
        "industry": coded(postings.industry, INDUSTRIES),
        "place": coded(postings.city, [*CITIES, REMOTE]),
        "skills": skills.take(pa.array(kind)),
    }
    save(pa.table(table), path)
