"""The members of a marketplace that was generated before, drawn again with all their traits.

For replays and evaluation only, like `truth`: what members want is no business of a model.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.marketplace.catalogue import Catalogue, build_catalogue
from components.marketplace.config import MarketplaceConfig
from components.marketplace.errors import MarketplaceError
from components.marketplace.generate import draw_chunk
from components.marketplace.members import Members
from components.marketplace.tables import Texts

_PER_GOAL = ("until", "occupation", "speciality", "level", "industry")


@dataclass(frozen=True, slots=True)
class Population:
    """All members of a marketplace, and what is on offer there.

    Attributes:
        config: of the marketplace.
        catalogue: what is on offer.
        members: everybody, in order of their ids.
        member_ids: of the members, sorted.
        texts: of the catalogue.
    """

    config: MarketplaceConfig
    catalogue: Catalogue
    members: Members
    member_ids: pa.Array
    texts: Texts

    @classmethod
    def redraw(cls, config: MarketplaceConfig, truth: Path, *, seed: int) -> Self:
        """Draw the members of a generated marketplace again, and hold them against its truth.

        Args:
            config: the marketplace was generated with.
            truth: directory that `generate` wrote.
            seed: the marketplace was generated with.

        Raises:
            MarketplaceError: the truth is missing or damaged, or of another marketplace.
        """
        catalogue = build_catalogue(config, seed=seed)
        chunks = range(-(-config.members // config.chunk))
        drawn = [draw_chunk(catalogue, config, number, seed=seed)[0] for number in chunks]
        merged: dict[str, Any] = {
            own.name: np.concatenate([getattr(part, own.name) for part in drawn])
            for own in fields(Members)
            if own.name != "first"
        }
        members = replace(drawn[0], **merged)
        texts = Texts(catalogue)
        _compare(members, truth)
        return cls(config, catalogue, members, texts.member_ids(0, config.members), texts)


def _compare(members: Members, truth: Path) -> None:
    path = truth / "members"
    try:
        told = pq.read_table(path).sort_by([("member_id", "ascending"), ("goal", "ascending")])
        row = np.repeat(np.arange(len(members.goals)), members.goals)
        goal = told["goal"].to_numpy().astype(np.int64)
        same = len(told) == len(row) and all(
            np.array_equal(told[name].to_numpy(), getattr(members, name)[row, goal])
            for name in _PER_GOAL
        )
    except (OSError, KeyError, pa.ArrowException) as error:
        raise MarketplaceError(f"{path}: missing or damaged: {error}") from error
    if not same:
        raise MarketplaceError(f"{path}: is of another marketplace than these sizes and seed draw")
