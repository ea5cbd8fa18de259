"""What members do: visits, pages of postings, and what is opened, saved, dismissed, applied to.

How a trail comes about; each mechanism is one that real marketplaces have.

1. Goal. A member wants an occupation, a speciality, a level and an industry. Goals change: to a
   related occupation (a transferable speciality is kept), to another speciality, or a level up.
2. Curiosity comes first. Before a goal changes, many of the pages that a member does not have to
   ask for (recommendations, notifications) are about the next goal: opened and saved, and only
   later searched for.
3. Searches narrow. Within a goal, broad queries come first, then specialities, skills and levels;
   earlier queries are repeated, some get a place or "remote" added. Some members always
   abbreviate.
4. Pages mislead. Search engines fill up with related postings and mix in fresh ones;
   recommendations lag behind a change of goal and explore; notifications are often beside the
   point. So an opened posting says little, saving or applying much, and a dismissed one says what
   is not wanted.
5. Postings are looked at from the top (position bias) and opened by relevance, of which the title
   shows occupation, speciality and level, and the company's name the industry.
6. In some visits a member only looks around; in others postings are applied to. Saved postings
   are returned to, and often applied to, in a later visit.
"""

from dataclasses import dataclass

import numpy as np

from components.marketplace.catalogue import Catalogue
from components.marketplace.config import MarketplaceConfig
from components.marketplace.members import Members
from components.marketplace.pages import Pages, open_pages
from components.marketplace.scene import Scene
from components.marketplace.slots import Slots, fill_pages


@dataclass(frozen=True, slots=True)
class Trails:
    """All that one chunk of members did."""

    members: Members
    pages: Pages
    slots: Slots


def simulate(
    catalogue: Catalogue, config: MarketplaceConfig, members: Members, *, rng: np.random.Generator
) -> Trails:
    """Simulate all visits of a chunk of members."""
    scene = Scene(catalogue, config, members, rng)
    pages = open_pages(scene)
    return Trails(members, pages, fill_pages(scene, pages))
