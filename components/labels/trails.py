"""What of each trail can become a label, read once from the sessions."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from components.activity.config import Vertical
from components.activity.posting_labels import read_posting_labels
from components.labels.errors import LabelsError
from components.progress import progress
from components.text.ragged import ragged_positions, run_starts, whole_member_batches
from components.text.render import entity_text

QUERY, ENTITY = "query", "entity"
_COLUMNS = ["member_id", "session", "action", "query", "company", "title"]
_REMEMBERED_ENTITIES = 1_000_000
_ROWS_AT_ONCE = 1_000_000


class Trails(NamedTuple):
    """Every member's label occurrences, in member and time order.

    Attributes:
        member_ids: string[M].
        sessions: int32[M], sessions per member.
        searched: bool[M], whether the member has ever searched.
        offsets: int64[M + 1] into the occurrences.
        session: int32[R], 0-based session of an occurrence.
        text: int32[R], number of its text.
        texts: (kind, text) by number.
    """

    member_ids: pa.ChunkedArray
    sessions: np.ndarray
    searched: np.ndarray
    offsets: np.ndarray
    session: np.ndarray
    text: np.ndarray
    texts: list[tuple[str, str]]


def read_trails(sessions: Path, vertical: Vertical, *, rows: int = _ROWS_AT_ONCE) -> Trails:
    """Read session parts `rows` rows at a time, rendering each distinct entity of a batch once.

    Where the vertical labels postings by their attributes, an action occurs once with each of its
    posting's labels, as `posting_labels.carry_posting_labels` left them beside the parts.

    Raises:
        LabelsError: there are no parts, or an action is not one of the vertical's.
        ActivityError: the labels of postings are damaged.
        TextError: a part cannot be read or is not sorted by member; names the file.
    """
    parts = sorted(sessions.glob("part-*.parquet"))
    if not parts:
        raise LabelsError(f"{sessions}: holds no session parts (part-*.parquet)")
    reader = _Reader(vertical, sessions)
    columns = [*_COLUMNS, "item_id"] if reader.needs_items else _COLUMNS
    pieces = []
    with progress("read trails", total=len(parts)) as bar:
        for part in parts:
            for batch in whole_member_batches(part, columns, rows=rows):
                pieces.append(reader.read(batch, part))
            bar.advance(texts=len(reader.texts))
    if not pieces:
        raise LabelsError(f"{sessions}: holds no actions")
    members, lengths, searched, occurrences, session, text = zip(*pieces, strict=True)
    return Trails(
        member_ids=pa.chunked_array(members),
        sessions=np.concatenate(lengths),
        searched=np.concatenate(searched),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(occurrences))]),
        session=np.concatenate(session),
        text=np.concatenate(text),
        texts=reader.texts,
    )


def past_labels(
    sessions: Path, labels: pa.Table, member_ids: pa.ChunkedArray, vertical: Vertical
) -> sp.csr_matrix:
    """Tell which labels each member's whole trail holds.

    Args:
        sessions: directory of session parts.
        labels: as `read_labels` gives them.
        member_ids: string[M]; a member without sessions has no labels.
        vertical: which actions make labels.

    Returns:
        float32 CSR [M, L] of ones.

    Raises:
        LabelsError, TextError: as `read_trails`.
    """
    trails = read_trails(sessions, vertical)
    named = zip(labels["kind"].to_pylist(), labels["text"].to_pylist(), strict=True)
    numbers = {entity: number for number, entity in enumerate(named)}
    label = np.array([numbers.get(text, -1) for text in trails.texts] or [-1])[trails.text]
    row_of = pc.index_in(trails.member_ids, member_ids.combine_chunks()).fill_null(-1).to_numpy()
    row = np.repeat(row_of, np.diff(trails.offsets))
    kept = (label >= 0) & (row >= 0)
    ones = np.ones(np.count_nonzero(kept), np.float32)
    past = sp.csr_matrix((ones, (row[kept], label[kept])), (len(member_ids), len(labels)))
    past.data[:] = 1
    return past


class _Reader:
    def __init__(self, vertical: Vertical, sessions: Path):
        self._vertical = vertical
        self._entities = _Entities(vertical.posting_label)
        self.texts = self._entities.texts
        self.needs_items = vertical.posting_label == "attributes"
        if self.needs_items:
            table = read_posting_labels(sessions).combine_chunks()
            labels = table["labels"].combine_chunks()
            self._items = table["item_id"].combine_chunks()
            self._labels = self._entities.attributes(labels.flatten())
            self._lengths = labels.value_lengths().fill_null(0).to_numpy().astype(np.int64)

    def read(self, batch: pa.RecordBatch, part: Path) -> tuple:
        starts = run_starts(batch.column("member_id"))
        session = batch.column("session").to_numpy().astype(np.int32) - 1
        is_query, is_label = self._kinds(batch.column("action"), part)
        row, text = self._occurrences(batch, is_label & is_query, is_label & ~is_query)
        count = np.bincount(row, minlength=len(batch))
        return (
            batch.column("member_id").take(pa.array(starts)),
            session[np.append(starts[1:], len(batch)) - 1] + 1,
            np.logical_or.reduceat(is_query, starts),
            np.add.reduceat(count, starts, dtype=np.int64),
            session[row],
            text,
        )

    def _occurrences(
        self, batch: pa.RecordBatch, queries: np.ndarray, postings: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows, rising, and the numbers of what they are labelled with."""
        text = np.full(len(batch), -1, dtype=np.int32)
        text[queries] = self._entities.queries(batch.filter(pa.array(queries)))
        if not self.needs_items:
            text[postings] = self._entities.postings(batch.filter(pa.array(postings)))
        row = np.flatnonzero(text >= 0)
        text = text[row]
        if self.needs_items:
            item = pc.index_in(batch.column("item_id"), self._items).fill_null(-1).to_numpy()
            labelled = np.flatnonzero(postings & (item >= 0))
            item = item[labelled].astype(np.int64)
            ends = np.cumsum(self._lengths)
            place = ragged_positions((ends - self._lengths)[item], self._lengths[item])
            row = np.append(row, np.repeat(labelled, self._lengths[item]))
            text = np.append(text, self._labels[place])
            order = np.flatnonzero(text >= 0)[np.argsort(row[text >= 0], kind="stable")]
            row, text = row[order], text[order]
        return row, text

    def _kinds(self, actions: pa.Array, part: Path) -> tuple[np.ndarray, np.ndarray]:
        encoded = actions.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        unknown = sorted(set(names) - set(self._vertical.actions))
        if unknown:
            raise LabelsError(f"{part}: action {unknown[0]!r} is not one of the vertical's")
        codes = encoded.indices.to_numpy()
        is_query = np.array([self._vertical.actions[name] == "query" for name in names])
        is_label = np.array([name in self._vertical.label_actions for name in names])
        return is_query[codes], is_label[codes]


class _Entities:
    """Numbers the rendered texts of queries and postings; what renders to nothing has number -1."""

    def __init__(self, posting_label: str):
        self._posting_label = posting_label
        self.texts: list[tuple[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}
        # Raw spellings met before: rendering costs ten times a look-up.
        self._rendered: dict[tuple, int] = {}

    def queries(self, batch: pa.RecordBatch) -> np.ndarray:
        codes, spellings = _codes(batch.column("query"))
        numbers = self._number((QUERY, query) for query in spellings)
        return numbers[codes]

    def postings(self, batch: pa.RecordBatch) -> np.ndarray:
        company_codes, companies = _codes(batch.column("company"))
        title_codes, titles = _codes(batch.column("title"))
        # Both codes are below the number of rows of a batch: their product fits 64 bits.
        pairs, codes = np.unique(company_codes * len(titles) + title_codes, return_inverse=True)
        company_of, title_of = np.divmod(pairs, len(titles))
        numbers = self._number(
            (ENTITY, companies[company], titles[title])
            for company, title in zip(company_of.tolist(), title_of.tolist(), strict=True)
        )
        return numbers[codes]

    def attributes(self, labels: pa.Array) -> np.ndarray:
        codes, spellings = _codes(labels)
        numbers = self._number((ENTITY, None, label) for label in spellings)
        return numbers[codes]

    def _number(self, spellings: Iterable[tuple]) -> np.ndarray:
        if len(self._rendered) > _REMEMBERED_ENTITIES:
            self._rendered.clear()
        numbers = []
        for spelling in spellings:
            number = self._rendered.get(spelling)
            if number is None:
                number = self._rendered[spelling] = self._render(*spelling)
            numbers.append(number)
        return np.array(numbers, dtype=np.int32)

    def _render(self, kind: str, *fields: str | None) -> int:
        names = ("query",) if kind == QUERY else ("company", "title")
        text = entity_text(
            **dict(zip(names, fields, strict=True)), posting_label=self._posting_label
        )
        if not text:
            return -1
        number = self._numbers.setdefault((kind, text), len(self.texts))
        if number == len(self.texts):
            self.texts.append((kind, text))
        return number


def _codes(column: pa.Array) -> tuple[np.ndarray, Sequence[str | None]]:
    encoded = column.dictionary_encode()
    values = [*encoded.dictionary.to_pylist(), None]
    return encoded.indices.cast(pa.int64()).fill_null(len(values) - 1).to_numpy(), values
