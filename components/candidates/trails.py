"""What members did and were shown, as of their cuts or as of now.

Sessions number from 1 on disk; cuts count from 0, as examples do.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.activity.engine import open_engine
from components.activity.sessions import session_parts
from components.audience.trails import People
from components.candidates.config import CandidatesConfig
from components.candidates.evidence import ACTIONS
from components.features.behaviour import impression_files


class Applications(NamedTuple):
    """The first application of each member to each posting; arrays [n], in order of time.

    Attributes:
        member: numbers of the members.
        item_ids: of the postings.
        later: whether it followed the member's cut.
    """

    member: NDArray[np.int64]
    item_ids: pa.ChunkedArray
    later: NDArray[np.bool_]

    def select(self, wanted: NDArray[np.bool_]) -> "Applications":
        """Return those of a mask."""
        item_ids = self.item_ids.filter(pa.array(wanted))
        return Applications(self.member[wanted], item_ids, self.later[wanted])


class Shown(NamedTuple):
    """What members were shown after their cuts: every posting of a member once; arrays [n].

    Attributes:
        member: numbers of the members.
        item_ids: of the postings.
    """

    member: NDArray[np.int64]
    item_ids: pa.ChunkedArray


class Trails:
    """Members' trails, opened for questions; close it when they are asked.

    Args:
        sessions: directory of session parts.
        people: whose contexts end at their cuts.
        config: actions that count.
    """

    def __init__(self, sessions: Path, people: People, config: CandidatesConfig):
        self._engine, self._config = open_engine(), config
        parts = [str(part) for part in session_parts(sessions)]
        self._engine.read_parquet(parts).create_view("trail")
        self._engine.register("people", people.table())

    def __enter__(self) -> "Trails":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    def actions(self, *, whole: bool, only: NDArray[np.int64] | None = None) -> pa.Table:
        """Read members' recent actions, the columns of ACTIONS, sorted.

        Args:
            whole: the whole trails, else the contexts.
            only: numbers of the members; everybody's without.
        """
        wanted = "true" if whole else "session <= context_end"
        chosen = "" if only is None else "and list_contains($only, person)"
        query = f"""
            select person as member, action, query, title, item_id,
                row_number() over (partition by person order by ts desc, sequence desc) - 1 as back
            from trail join people using (member_id) where {wanted} {chosen}
            qualify back < {self._config.recent} order by member, back
        """
        given = None if only is None else {"only": only.tolist()}
        return self._engine.sql(query, params=given).to_arrow_table().cast(ACTIONS)

    def applications(self) -> Applications:
        """Read who applied to what, up to the ends of the members' targets."""
        query = """
            select person, item_id, min(session) > any_value(context_end) as later
            from trail join people using (member_id)
            where list_contains($applied, action) and item_id is not null and session <= target_end
            group by person, item_id order by min(ts), person, item_id
        """
        found = self._ask(query, applied=list(self._config.applied))
        return Applications(found["person"].to_numpy(), found["item_id"], found["later"].to_numpy())

    def shown(self, feed: Path, members: NDArray[np.int64]) -> Shown:
        """Read the pages of the configured channels that members saw in their targets."""
        files = [str(file) for file in impression_files(feed)]
        self._engine.read_parquet(files).create_view("page", replace=True)
        query = """
            with period as (
                select member_id, any_value(person) as person,
                    min(ts) filter (session > context_end) as start,
                    min(ts) filter (session > target_end) as finish
                from trail join people using (member_id)
                where list_contains($members, person) group by member_id
            )
            select person, item_id from (
                select person, unnest(item_ids) as item_id from page join period using (member_id)
                where list_contains($channels, channel)
                    and ts >= start and (finish is null or ts < finish)
            ) where item_id is not null group by all order by all
        """
        found = self._ask(query, channels=list(self._config.channels), members=members.tolist())
        return Shown(found["person"].to_numpy(), found["item_id"])

    def _ask(self, query: str, **given: object) -> pa.Table:
        return self._engine.sql(query, params=given).to_arrow_table()
