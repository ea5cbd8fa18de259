"""What members applied to, before and after their cuts, and what profiles and postings are called.

Sessions number from 1 on disk; cuts count from 0, as examples do.
"""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from components.activity.engine import open_engine
from components.activity.split import TEST, VALIDATION
from components.audience.errors import AudienceError
from components.labels.examples import Examples

APPLICATIONS = pa.schema(
    [
        pa.field("member_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("company", pa.string()),
        pa.field("title", pa.string()),
        pa.field("later", pa.bool_()),
        pa.field("times", pa.int64()),
    ]
)
HEADLINES = pa.schema([pa.field("member_id", pa.string()), pa.field("headline", pa.string())])
POSTINGS = pa.schema(
    [
        pa.field("item_id", pa.string()),
        pa.field("company", pa.string()),
        pa.field("title", pa.string()),
    ]
)


class People(NamedTuple):
    """One example of each member, his latest; arrays [members].

    Attributes:
        ids: of the members.
        example: row of the example, and of its vector.
        split: TRAIN, VALIDATION or TEST.
        context_end: sessions of the context, which his vector has seen.
        target_end: sessions of context and target.
    """

    ids: NDArray[np.object_]
    example: NDArray[np.int64]
    split: NDArray[np.int8]
    context_end: NDArray[np.int64]
    target_end: NDArray[np.int64]

    @classmethod
    def of(cls, examples: Examples) -> Self:
        """Take each member's latest example, in order of the examples."""
        table = examples.table
        order = np.lexsort((table["context_end"], table["member_id"]))
        ids = table["member_id"][order]
        latest = np.append(ids[1:] != ids[:-1], True)[: len(ids)]
        rows = np.sort(order[latest])
        return cls(
            table["member_id"][rows],
            rows,
            table["split"][rows],
            table["context_end"][rows].astype(np.int64),
            table["target_end"][rows].astype(np.int64),
        )

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the numbers of the members of "validation" or "test"."""
        return np.flatnonzero(self.split == {"validation": VALIDATION, "test": TEST}[split])

    def table(self) -> pa.Table:
        """Return member_id, person (the number), context_end and target_end."""
        return pa.table(
            {
                "member_id": pa.array(self.ids, pa.string()),
                "person": np.arange(len(self.ids)),
                "context_end": self.context_end,
                "target_end": self.target_end,
            }
        )


def read_applications(
    sessions: Path, actions: tuple[str, ...], people: People | None = None
) -> pa.Table:
    """Count members' applications by posting, in the columns of APPLICATIONS, sorted.

    Args:
        sessions: directory of session parts.
        actions: by which a member applies.
        people: whose contexts and targets are read, `later` telling these from those; without,
            everybody's whole trails, nothing of them later.

    Raises:
        AudienceError: the sessions cannot be read.
    """
    later, joined = "false", ""
    if people is not None:
        later = "trails.session > context_end"
        joined = "join people on people.member_id = trails.member_id and session <= target_end"
    query = f"""
        select trails.member_id, item_id, company, title, {later} as later, count(*) as times
        from trails {joined} where list_contains($actions, action) and title is not null
        group by all order by all
    """
    return _ask(sessions, query, people, actions=list(actions)).cast(APPLICATIONS)


class Contexts(NamedTuple):
    """What was known of members before their cuts; int64 [members].

    Attributes:
        actions: how many.
        last: time of the last one, microseconds UTC.
    """

    actions: NDArray[np.int64]
    last: NDArray[np.int64]


def read_contexts(sessions: Path, people: People) -> Contexts:
    """Count the actions of members' contexts, and find when these ended."""
    query = """
        select person, count(*) as actions, max(ts) as last
        from trails join people using (member_id) where session <= context_end group by person
    """
    found = _ask(sessions, query, people)
    contexts = Contexts(np.zeros(len(people.ids), np.int64), np.zeros(len(people.ids), np.int64))
    for column, values in zip(found.columns[1:], contexts, strict=True):
        values[found["person"].to_numpy()] = column.to_numpy()
    return contexts


def read_headlines(feed: Path) -> pa.Table:
    """Read the columns of HEADLINES from a feed's profiles; a missing column is null."""
    return _read(feed / "profiles", HEADLINES)


def read_postings(feed: Path) -> pa.Table:
    """Read the catalogue, the columns of POSTINGS; empty where the feed has none, null likewise."""
    return _read(feed / "postings", POSTINGS)


def _ask(sessions: Path, query: str, people: People | None, **given: object) -> pa.Table:
    parts = sorted(sessions.glob("part-*.parquet"))
    if not parts:
        raise AudienceError(f"{sessions}: holds no session parts (part-*.parquet)")
    import duckdb

    engine = open_engine()
    try:
        engine.read_parquet([str(part) for part in parts]).create_view("trails")
        if people is not None:
            engine.register("people", people.table())
        return engine.sql(query, params=given or None).to_arrow_table()
    except duckdb.Error as error:
        raise AudienceError(f"{sessions}: cannot be read: {error}") from error
    finally:
        engine.close()


def _read(directory: Path, schema: pa.Schema) -> pa.Table:
    if not directory.is_dir():
        return schema.empty_table()
    try:
        content = ds.dataset(directory, format="parquet")
        known = [name for name in schema.names if name in content.schema.names]
        table = content.to_table(columns=known)
        columns = [table[name] if name in known else pa.nulls(len(table)) for name in schema.names]
        return pa.table(columns, schema.names).cast(schema)
    except (OSError, pa.ArrowException) as error:
        raise AudienceError(f"{directory}: cannot be read: {error}") from error
