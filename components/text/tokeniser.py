"""Batches of sorted action rows to documents, without a Python loop over the rows."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from components.text.errors import TextError
from components.text.ragged import ragged_positions, run_starts
from components.text.vocabulary import RENDERERS, SPECIAL_TOKENS, Vocabulary

COLUMNS = ["member_id", "session", "ts", "action", *RENDERERS]
REMEMBERED_TEXTS = 20_000_000
"""Texts whose ids are kept for reuse; beyond these all are forgotten and learnt anew."""


class Documents(NamedTuple):
    """The documents of whole members, in row order.

    Attributes:
        member_ids: string[M].
        member_sessions: int64[M], sessions per member.
        session_lengths: int64[S], ids per session.
        session_end: int64[S], time of the last action, microseconds UTC.
        tokens: int32[T].
    """

    member_ids: pa.Array
    member_sessions: np.ndarray
    session_lengths: np.ndarray
    session_end: np.ndarray
    tokens: np.ndarray


class Tokeniser:
    """Turns action rows into ids, encoding each distinct text once.

    Words never merge across a space, so an action's ids are its type's id and the ids of its query,
    company and title one after the other; only distinct values of each column reach the tokenizer.

    Args:
        vocabulary: of the ids.
        queries_only: keep searches alone.
        remembered: texts whose ids are kept; what runs for months has to do with few.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        queries_only: bool = False,
        remembered: int = REMEMBERED_TEXTS,
    ):
        self._vocabulary, self._queries_only = vocabulary, queries_only
        self._remembered = remembered
        self._ids = _Ids(vocabulary)

    def __call__(self, batch: pa.RecordBatch) -> Documents:
        """Tokenise rows sorted by member and time that hold every member whole.

        Raises:
            TextError: an unknown action, or sessions that are not numbered 1, 2, 3 within a member.
        """
        if len(self._ids) > self._remembered:
            self._ids.forget()
        member_starts = run_starts(batch.column("member_id"))
        session = batch.column("session").to_numpy()
        session_starts = _session_starts(batch, member_starts, session)
        session_ends = np.append(session_starts[1:], len(batch)) - 1

        action_ids, is_kept = self._actions(batch.column("action"))
        starts = np.zeros((len(batch), 2 + len(RENDERERS)), dtype=np.int64)
        lengths = np.zeros_like(starts)
        starts[:, 0], lengths[:, 0] = action_ids, 1
        for place, (column, render) in enumerate(RENDERERS.items(), start=1):
            starts[:, place], lengths[:, place] = self._ids.runs(batch.column(column), render)
        lengths[~is_kept] = 0
        holds_any = np.logical_or.reduceat(is_kept, session_starts)
        starts[:, -1] = self._vocabulary.sep
        lengths[session_ends[holds_any], -1] = 1

        return Documents(
            member_ids=batch.column("member_id").take(pa.array(member_starts)),
            member_sessions=session[np.append(member_starts[1:], len(batch)) - 1],
            session_lengths=np.add.reduceat(lengths.sum(axis=1), session_starts),
            session_end=batch.column("ts").to_numpy()[session_ends],
            tokens=self._ids.take(ragged_positions(starts.ravel(), lengths.ravel())),
        )

    def _actions(self, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        encoded = column.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        ids = np.array([self._vocabulary.action_id(name) for name in names])
        kinds = [self._vocabulary.actions[name] for name in names]
        is_kept = np.array([kind == "query" or not self._queries_only for kind in kinds])
        codes = encoded.indices.to_numpy()
        return ids[codes], is_kept[codes]


def _session_starts(batch: pa.RecordBatch, starts: np.ndarray, session: np.ndarray) -> np.ndarray:
    """Return where sessions start, having checked their numbers."""
    step = np.diff(session, prepend=0)
    step[starts] = session[starts]
    is_first = np.zeros(len(batch), dtype=bool)
    is_first[starts] = True
    wrong = np.flatnonzero((step < is_first) | (step > 1))
    if len(wrong):
        member = batch.column("member_id")[int(wrong[0])].as_py()
        raise TextError(f"sessions of member {member!r} are not numbered 1, 2, 3 in order")
    return np.flatnonzero(step)


class _Ids:
    """The ids of every distinct text met so far, end to end in one array.

    The array opens with the special tokens and action types, each at the position of its own id.
    """

    def __init__(self, vocabulary: Vocabulary):
        self._vocabulary = vocabulary
        self.forget()

    def forget(self) -> None:
        """Drop every text."""
        names = len(SPECIAL_TOKENS) + len(self._vocabulary.actions)
        self._ids = np.arange(names, dtype=np.int32)
        # Slot 0 is the text of a missing value.
        self._starts, self._lengths = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        self._slots: dict[Callable[[str], str], dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self._starts)

    def runs(self, column: pa.Array, render: Callable[[str], str]) -> tuple[np.ndarray, np.ndarray]:
        """Return start and length (int64[rows]) of the ids of a column's texts; null has none."""
        encoded = column.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        slots = self._slots.setdefault(render, {})
        self._learn([text for text in texts if text not in slots], render, slots)
        slot_of = np.array([slots[text] for text in texts] + [0], dtype=np.int64)
        slot = slot_of[encoded.indices.fill_null(len(texts)).to_numpy()]
        return self._starts[slot], self._lengths[slot]

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Return the ids at `positions`."""
        return self._ids[positions]

    def _learn(self, texts: list[str], render: Callable[[str], str], slots: dict[str, int]) -> None:
        if not texts:
            return
        ids = self._vocabulary.encode_batch([render(text) for text in texts])
        lengths = np.array([len(text) for text in ids], dtype=np.int64)
        slots.update(zip(texts, range(len(self), len(self) + len(texts)), strict=True))
        starts = len(self._ids) + np.cumsum(lengths) - lengths
        self._starts = np.concatenate([self._starts, starts])
        self._lengths = np.concatenate([self._lengths, lengths])
        self._ids = np.concatenate([self._ids, *ids])
