"""What every step of the simulation of one chunk needs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.catalogue import Catalogue
from components.marketplace.config import MarketplaceConfig
from components.marketplace.members import Members
from components.marketplace.queries import ANY

Ints = NDArray[np.integer]
Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scene:
    """One chunk's members in their marketplace, and the luck they have."""

    catalogue: Catalogue
    config: MarketplaceConfig
    members: Members
    rng: np.random.Generator

    def chance(self, share: Floats | float, count: int) -> Flags:
        """Draw `count` yes or no, yes with probability `share`."""
        return self.rng.random(count) < share

    def one_of_the_last(self, count: int, *, member: Ints, there: Flags, wanted: Flags) -> Ints:
        """Pick, for each wanted row, one of its member's `count` latest earlier rows `there`.

        Args:
            count: how far to look back.
            member: member of each row, ascending.
            there: rows that may be picked.
            wanted: rows to pick for.

        Returns:
            A row number, or -1 where there is none, for each wanted row.
        """
        rows, at = np.flatnonzero(there), np.flatnonzero(wanted)
        if not len(rows):
            return np.full(len(at), ANY)
        before = np.searchsorted(rows, at)
        first = np.searchsorted(rows, np.searchsorted(member, member[at]))
        reach = np.minimum(before - first, count)
        back = 1 + (self.rng.random(len(at)) * reach).astype(np.int64)
        return np.where(before > first, rows[np.maximum(before - back, 0)], ANY)
