"""The words of members' trails, and which of them are an example's context."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.baselines.errors import BaselineError
from components.text.ragged import ragged_positions, run_starts, whole_member_batches
from components.text.vocabulary import RENDERERS, session_parts

ROWS_AT_ONCE = 200_000

WordIds = Callable[[Sequence[str]], tuple[NDArray[np.int32], NDArray[np.int64]]]
"""Gives the ids of the known words of texts, end to end, and their number per text."""


class Contexts(NamedTuple):
    """Examples whose members lie in one batch of actions.

    Attributes:
        batch: actions of whole members, in the order of time.
        rows: examples, int64[n].
        session_starts: rows of the batch at which sessions start, and its length, int64[s + 1].
        first: number of the context's first session within the batch, int64[n].
        sessions: of the context, int64[n].
    """

    batch: pa.RecordBatch
    rows: NDArray[np.int64]
    session_starts: NDArray[np.int64]
    first: NDArray[np.int64]
    sessions: NDArray[np.int64]


class ContextWords(NamedTuple):
    """Words of examples' contexts.

    Attributes:
        ids: int32, of all members one after the other.
        start: of each example, the place of its first word in `ids`, int64[n].
        end: the place after its last, int64[n].
    """

    ids: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the words of some examples, end to end, and their number per example."""
        lengths = self.end[rows] - self.start[rows]
        return self.ids[ragged_positions(self.start[rows], lengths)], lengths


def find_contexts(
    sessions: Path,
    member_ids: Sequence[str] | NDArray,
    first_session: NDArray,
    context_end: NDArray,
) -> Iterator[Contexts]:
    """Find the contexts of examples, as far as one batch of actions holds them at a time.

    Args:
        sessions: directory of session parts.
        member_ids: member of each example, [n]; a member may have several.
        first_session: number of the first session of the context, from 0, [n].
        context_end: number of the session after the last, [n].

    Raises:
        BaselineError: an example's member or session is not in `sessions`.
    """
    wanted = _ExamplesOfMembers(member_ids)
    first, end = np.asarray(first_session, np.int64), np.asarray(context_end, np.int64)
    for batch in action_batches(sessions):
        rows, members = wanted.take(batch)
        starts, offsets = session_bounds(batch)
        late = rows[end[rows] > np.diff(offsets)[members]]
        if len(late):
            raise BaselineError(
                f"{sessions}: member {member_ids[late[0]]!r} has fewer than {end[late[0]]} sessions"
            )
        starts = np.append(starts, batch.num_rows)
        yield Contexts(batch, rows, starts, offsets[members] + first[rows], end[rows] - first[rows])
    missing = wanted.missing()
    if missing is not None:
        raise BaselineError(f"{sessions}: holds no member {missing!r}")


def context_words(
    word_ids: WordIds,
    sessions: Path,
    *,
    member_ids: Sequence[str] | NDArray,
    first_session: NDArray,
    context_end: NDArray,
    limit: int,
) -> ContextWords:
    """Read the known words of every example's context, in the order of time.

    Args:
        word_ids: knows words.
        sessions: directory of session parts.
        member_ids: as of `find_contexts`, like the two after it.
        first_session: likewise.
        context_end: likewise.
        limit: most recent words of a context to keep.

    Raises:
        BaselineError: an example's member or session is not in `sessions`.
    """
    known, pieces, held = KnownWords(word_ids), [np.empty(0, np.int32)], 0
    start, end = np.zeros(len(first_session), np.int64), np.zeros(len(first_session), np.int64)
    for found in find_contexts(sessions, member_ids, first_session, context_end):
        ids, lengths = known.of_rows(found.batch)
        # Word places at which sessions start within the batch.
        places = np.concatenate([[0], np.cumsum(lengths)])[found.session_starts]
        start[found.rows] = held + places[found.first]
        end[found.rows] = held + places[found.first + found.sessions]
        pieces.append(ids)
        held += len(ids)
    return ContextWords(np.concatenate(pieces), np.maximum(start, end - limit), end)


class KnownWords:
    """Word ids of action rows; every distinct text of a batch is looked up once.

    Args:
        word_ids: knows words.
    """

    def __init__(self, word_ids: WordIds):
        self._word_ids = word_ids

    def of_rows(self, batch: pa.RecordBatch) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the ids of all rows' known words, end to end, and their number per row."""
        starts = np.zeros((batch.num_rows, 1 + len(RENDERERS)), np.int64)
        lengths = np.zeros_like(starts)
        pieces, held = [], 0
        for place, column in enumerate(("action", *RENDERERS)):
            encoded = batch.column(column).dictionary_encode()
            texts = rendered(encoded.dictionary.to_pylist(), column)
            ids, counts = self._word_ids([*texts, ""])
            codes = encoded.indices.fill_null(len(texts)).to_numpy()
            starts[:, place] = (held + np.cumsum(counts) - counts)[codes]
            lengths[:, place] = counts[codes]
            pieces.append(ids)
            held += len(ids)
        positions = ragged_positions(starts.ravel(), lengths.ravel())
        return np.concatenate(pieces)[positions], lengths.sum(axis=1)


def action_batches(sessions: Path) -> Iterator[pa.RecordBatch]:
    """Yield the actions of whole members, about `ROWS_AT_ONCE` at a time."""
    columns = ["member_id", "session", "action", *RENDERERS]
    for part in session_parts(sessions):
        yield from whole_member_batches(part, columns, rows=ROWS_AT_ONCE)


def session_bounds(batch: pa.RecordBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows at which sessions start, and per member where its sessions lie among them."""
    member_starts = run_starts(batch.column("member_id"))
    session_starts = np.union1d(member_starts, run_starts(batch.column("session")))
    return session_starts, np.append(
        np.searchsorted(session_starts, member_starts), len(session_starts)
    )


def rendered(texts: Sequence[str], column: str) -> list[str]:
    """Return texts of an action's column as words."""
    render = RENDERERS.get(column)
    return [render(text) for text in texts] if render else list(texts)


class _ExamplesOfMembers:
    """Which examples are a member's; each member is asked for once."""

    def __init__(self, member_ids: Sequence[str] | NDArray):
        encoded = pa.array(member_ids, type=pa.string()).dictionary_encode()
        codes = encoded.indices.to_numpy()
        self._left = {m: code for code, m in enumerate(encoded.dictionary.to_pylist())}
        self._order = np.argsort(codes, kind="stable")
        self._counts = np.bincount(codes, minlength=len(self._left))
        self._starts = np.cumsum(self._counts) - self._counts

    def take(self, batch: pa.RecordBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the examples of the batch's members, and the place of their member in it."""
        members = batch.column("member_id").take(pa.array(run_starts(batch.column("member_id"))))
        codes = np.array([self._left.pop(m, -1) for m in members.to_pylist()], dtype=np.int64)
        places = np.flatnonzero(codes >= 0)
        codes = codes[places]
        rows = self._order[ragged_positions(self._starts[codes], self._counts[codes])]
        return rows, np.repeat(places, self._counts[codes])

    def missing(self) -> str | None:
        """Return a member who was never met."""
        return next(iter(self._left), None)
