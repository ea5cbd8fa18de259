"""The catalogue: what each posting has, and which postings have an attribute."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
from numpy.typing import NDArray

from components.candidates.attributes import Attributes
from components.candidates.clauses import load_array
from components.candidates.errors import CandidatesError
from components.candidates.kernels import retrieve
from components.features.catalogue import read_columns
from components.features.index import TextIndex
from components.text.render import entity_text, normalise

COLUMNS = ("item_id", "company", "title", "place", "skills")
TABLE = "postings.arrow"


class Found(NamedTuple):
    """Postings retrieved, best first.

    Attributes:
        rows: int32[n].
        scores: float32[n], sums of the weights of the clauses matched.
        matched: postings that match any clause.
    """

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]
    matched: int


class Lists(NamedTuple):
    """Ascending numbers in runs, never written to: those of a file or of memory compile alike.

    Attributes:
        offsets: int64[n + 1].
        values: int32.
    """

    offsets: NDArray[np.int64]
    values: NDArray[np.int32]

    @classmethod
    def of(cls, rows: NDArray, values: NDArray, count: int) -> Self:
        """Make runs of distinct values by row; rows below 0 are left out."""
        kept = rows >= 0
        pairs = np.unique(np.stack([rows[kept], values[kept]], axis=1).astype(np.int64), axis=0)
        lists = cls(
            np.searchsorted(pairs[:, 0], np.arange(count + 1)).astype(np.int64),
            pairs[:, 1].astype(np.int32),
        )
        for array in lists:
            array.setflags(write=False)
        return lists

    @classmethod
    def open(cls, directory: Path, name: str) -> Self:
        """Map what `save` wrote.

        Raises:
            CandidatesError: a file is missing or damaged; names it.
        """
        return cls(*(load_array(directory / f"{name}.{field}.npy") for field in cls._fields))

    def save(self, directory: Path, name: str) -> None:
        """Write the two arrays."""
        for field, array in self._asdict().items():
            np.save(directory / f"{name}.{field}.npy", array)

    def of_row(self, row: int) -> NDArray[np.int32]:
        """Return the values of a row."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]


class Postings:
    """Postings by row, in order of the catalogue; the first of several of one id counts.

    Args:
        table: item_id, company and title.
        ids: index of the ids.
        names: index of what they are called as entities, company and title.
        has: attributes of each posting.
        lists: postings of each attribute.
    """

    def __init__(self, table: pa.Table, ids: TextIndex, names: TextIndex, has: Lists, lists: Lists):
        self.table, self.ids, self.names, self.has, self.lists = table, ids, names, has, lists

    def __len__(self) -> int:
        return len(self.table)

    def title(self, row: int) -> str | None:
        """Return the title of a posting, as its employer writes it."""
        return self.table["title"][row].as_py()

    @classmethod
    def build(cls, table: pa.Table, attributes: Attributes) -> Self:
        """Index a catalogue that `read_catalogue` read."""
        titles = table["title"].to_pylist()
        known = {title: attributes.of_title(title) for title in set(titles)}
        own = [
            (*known[title], *attributes.of_skills(skills))
            for title, skills in zip(titles, table["skills"].to_pylist(), strict=True)
        ]
        rows = np.repeat(np.arange(len(own)), [len(one) for one in own])
        values = np.fromiter((at for one in own for at in one), np.int64, len(rows))
        return cls(
            table.select(["item_id", "company", "title"]),
            TextIndex.of(table["item_id"].to_pylist()),
            TextIndex.of(_names(table)),
            Lists.of(rows, values, len(table)),
            Lists.of(values, rows, len(attributes)),
        )

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Map what `save` wrote.

        Raises:
            CandidatesError: a file is missing or damaged; names it.
        """
        try:
            table = feather.read_table(directory / TABLE, memory_map=True)
        except (OSError, pa.ArrowException) as error:
            raise CandidatesError(f"{directory / TABLE}: missing or damaged: {error}") from error
        ids, names = (open_texts(directory, name) for name in ("ids", "names"))
        return cls(table, ids, names, Lists.open(directory, "has"), Lists.open(directory, "lists"))

    def save(self, directory: Path) -> None:
        """Write the catalogue and its lists."""
        feather.write_feather(self.table, directory / TABLE, compression="uncompressed")
        save_texts(self.ids, directory, "ids")
        save_texts(self.names, directory, "names")
        self.has.save(directory, "has")
        self.lists.save(directory, "lists")

    def retrieve(
        self,
        first: NDArray[np.int32],
        second: NDArray[np.int32],
        weights: NDArray[np.float32],
        k: int,
        *,
        hidden: NDArray[np.int32],
    ) -> Found:
        """Find the k postings of the highest score; see `kernels.retrieve`."""
        # Zeros that are never looked at cost nothing: the system gives them page by page.
        scores = np.zeros(len(self), np.float32)
        return Found(*retrieve(*self.lists, (first, second, weights), hidden, k, scores))


def read_catalogue(feed: Path) -> pa.Table:
    """Read the columns of COLUMNS, one row per item_id; those that a feed lacks are empty.

    Raises:
        FeaturesError: a file is damaged; names it.
    """
    table = read_columns(feed / "postings", COLUMNS)
    if table is None:
        table = pa.table({name: pa.array([], pa.string()) for name in COLUMNS})
    ids = table["item_id"].to_pylist()
    first = {item: row for row, item in reversed(list(enumerate(ids))) if item}
    table = table.take(pa.array(sorted(first.values()), pa.int64()))
    for name in ("item_id", "company", "title", "place"):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].cast(pa.string()))
    skills = table["skills"].to_pylist()
    lists = [[own] if isinstance(own, str) else own or [] for own in skills]
    at = table.schema.get_field_index("skills")
    return table.set_column(at, "skills", pa.array(lists, pa.list_(pa.string())))


def places_of(catalogue: pa.Table) -> set[str]:
    """Return the normalised names of a catalogue's places."""
    return {normalise(place) for place in catalogue["place"].unique().to_pylist() if place} - {""}


def open_texts(directory: Path, name: str) -> TextIndex:
    """Map what `save_texts` wrote.

    Raises:
        CandidatesError: a file is missing or damaged; names it.
    """
    fields = TextIndex._fields
    return TextIndex(*(load_array(directory / f"{name}.{field}.npy") for field in fields))


def save_texts(index: TextIndex, directory: Path, name: str) -> None:
    """Write an index of texts."""
    for field, array in index._asdict().items():
        np.save(directory / f"{name}.{field}.npy", array)


def _names(table: pa.Table) -> list[str]:
    """Return what postings are called as entities, once each; nothing where one is called alike."""
    columns = (table[name].to_pylist() for name in ("company", "title"))
    known: set[str] = set()
    names = []
    for company, title in zip(*columns, strict=True):
        name = entity_text(company=company, title=title)
        names.append("" if name in known else name)
        known.add(name)
    return names
