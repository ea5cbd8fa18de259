"""Turns as tensors: each distinct text of a batch once, and windows of turns that point to them."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.baselines.sequence_config import SequenceConfig
from components.baselines.turns import BEGIN, END, PAD, UNKNOWN, Lexicon, Turns


class TurnBatch(NamedTuple):
    """Windows of turns, and the turns after which a query is predicted.

    Words that no decoder can write, but that a window holds, have the ids from `targets` on in this
    batch alone, for decoders that copy.

    Attributes:
        queries: int64[Q, L], the distinct queries, in ids that can be read.
        spelt: int64[Q, L], the same in ids that can be copied.
        titles: int64[D, L'], the distinct titles; the first is empty.
        turns: int64[B, S], row of each turn's query.
        present: bool[B, S].
        session: int64[B, S], number of the turn's session.
        clicked: int64[B, S, clicks], rows of titles, 0 for none.
        candidates: int64[B, S, 1 + candidates], rows of titles to rank, the clicked one first; all
            0 after a query without click.
        asked: int64[N], turns (b * S + s) after which a query is predicted.
        next: int64[N, L + 1], the queries that followed, up to `END`, in ids that can be
            copied, `UNKNOWN` for a word that no turn so far holds; empty when they are not known.
        read: int64[targets + E], id to read for each id that can be written or copied.
        copied: int64[E], the lexicon's id of each word that can only be copied.
    """

    queries: Tensor
    spelt: Tensor
    titles: Tensor
    turns: Tensor
    present: Tensor
    session: Tensor
    clicked: Tensor
    candidates: Tensor
    asked: Tensor
    next: Tensor
    read: Tensor
    copied: Tensor

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device."""
        return type(self)(*(part.to(device, non_blocking=True) for part in self))

    @property
    def began(self) -> Tensor:
        """What a decoder reads before each word of `next`, int64[N, L + 1]."""
        begin = torch.full_like(self.next[:, :1], BEGIN)
        return self.read[torch.cat([begin, self.next[:, :-1]], 1)]

    @property
    def targets(self) -> int:
        """Words that a decoder can write."""
        return len(self.read) - len(self.copied)


class Windows(NamedTuple):
    """Runs of turns, first and past the last: int64[n] each."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)


def training_windows(turns: Turns, members: NDArray[np.int64], length: int) -> Windows:
    """Cut members' turns into windows so that every query but a member's first follows another.

    Args:
        turns: everybody's.
        members: places of the members, [m].
        length: turns of a window, at least 2; it shares one with the window before.
    """
    starts, ends = turns.offsets[members], turns.offsets[members + 1]
    pieces = [
        (np.arange(start, end - 1, length - 1), end)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    start = np.concatenate([np.empty(0, np.int64), *(first for first, _ in pieces)])
    last = np.repeat(ends, [len(first) for first, _ in pieces])
    return Windows(start, np.minimum(start + length, last))


def last_windows(
    turns: Turns,
    member_ids: Sequence[str] | NDArray,
    first_session: NDArray,
    context_end: NDArray,
    length: int,
) -> tuple[NDArray[np.int64], Windows]:
    """Find the most recent turns of contexts.

    Args:
        turns: everybody's.
        member_ids: member of each context, [n].
        first_session: number of the first session of the context, from 0, [n].
        context_end: number of the session after the last, [n].
        length: turns of a window at most.

    Returns:
        The contexts that hold a query, int64[m], and the window of each.
    """
    places = np.array([turns.rows.get(member, -1) for member in member_ids], np.int64)
    start, end = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    for row in np.flatnonzero(places >= 0).tolist():
        first, last = turns.offsets[places[row] : places[row] + 2]
        edges = [first_session[row], context_end[row]]
        start[row], end[row] = first + np.searchsorted(turns.session[first:last], edges)
    start = np.maximum(start, end - length)
    asked = np.flatnonzero(end > start)
    return asked, Windows(start[asked], end[asked])


def training_batch(
    turns: Turns,
    lexicon: Lexicon,
    windows: Windows,
    config: SequenceConfig,
    draw: np.random.Generator,
) -> TurnBatch:
    """Make a batch that predicts every query of some windows but the first.

    A clicked posting is ranked against titles drawn from the whole batch: what was shown and not
    clicked is not at hand, and other clicks of the same session are as relevant as its own.
    """
    return _batch(turns, lexicon, windows, config, draw)


def asking_batch(
    turns: Turns, lexicon: Lexicon, windows: Windows, config: SequenceConfig
) -> TurnBatch:
    """Make a batch that asks what follows each window."""
    return _batch(turns, lexicon, windows, config, None)


def _batch(
    turns: Turns,
    lexicon: Lexicon,
    windows: Windows,
    config: SequenceConfig,
    draw: np.random.Generator | None,
) -> TurnBatch:
    lengths = windows.end - windows.start
    place = np.arange(lengths.max())
    present = place < lengths[:, None]
    turn = np.where(present, windows.start[:, None] + place, windows.start[:, None])
    query, query_of = np.unique(turns.query[turn], return_inverse=True)
    shown = turns.clicked[turn] * present[..., None]
    title, title_of = np.unique(np.append(shown, 0), return_inverse=True)
    spelt, copied = _spelt(lexicon, query)
    clicked = title_of[:-1].reshape(shown.shape)
    candidates = np.zeros((*turn.shape, 0), np.int64)
    asked = np.ravel_multi_index((np.arange(len(turn)), lengths - 1), turn.shape)
    following = np.empty((len(asked), 0), np.int64)
    query_of = query_of.reshape(turn.shape)
    if draw is not None:
        candidates = _candidates(clicked, len(title), config, draw)
        asked = np.flatnonzero(place < lengths[:, None] - 1)
        following = spelt[query_of.ravel()[asked + 1]]
        unseen = _not_before(following, spelt, query_of, asked, lexicon.targets)
        following = _trimmed(_ended(np.where(unseen, UNKNOWN, following)))
    extra = np.where(copied < lexicon.known, copied, UNKNOWN)
    read = lexicon.queries[query]
    arrays = (
        _trimmed(np.where(read < lexicon.known, read, UNKNOWN)),
        _trimmed(spelt),
        _trimmed(lexicon.titles[title]),
        query_of,
        present,
        turns.session[turn],
        clicked,
        candidates,
        asked,
        following,
        np.concatenate([np.arange(lexicon.targets), extra]),
        copied,
    )
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    return TurnBatch(*(t if t.dtype == torch.bool else t.long() for t in tensors))


def _spelt(lexicon: Lexicon, query: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return queries in ids that can be copied, and what can only be copied in the lexicon's."""
    ids = lexicon.queries[query].astype(np.int64)
    beyond = ids >= lexicon.targets
    copied, number = np.unique(ids[beyond], return_inverse=True)
    ids[beyond] = lexicon.targets + number
    return ids, copied


def _not_before(
    following: NDArray, spelt: NDArray, query_of: NDArray, asked: NDArray, targets: int
) -> NDArray[np.bool_]:
    """Tell which words of the following queries can neither be written nor be copied."""
    unseen = following >= targets
    window, last = np.divmod(asked, query_of.shape[1])
    for row in np.flatnonzero(unseen.any(1)).tolist():
        earlier = spelt[query_of[window[row], : last[row] + 1]]
        unseen[row] &= ~np.isin(following[row], earlier)
    return unseen


def _candidates(
    clicked: NDArray, titles: int, config: SequenceConfig, draw: np.random.Generator
) -> NDArray[np.int64]:
    shape = (*clicked.shape[:2], config.candidates)
    others = draw.integers(1, titles, shape) if titles > 1 else np.zeros(shape, np.int64)
    first = clicked[..., :1]
    others = np.where((others[..., None] == clicked[..., None, :]).any(-1), 0, others)
    return np.where(first > 0, np.concatenate([first, others], -1), 0)


def _trimmed(ids: NDArray) -> NDArray:
    return ids[:, : max(1, int((ids != PAD).sum(1).max(initial=0)))]


def _ended(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    ended = np.concatenate([ids, np.full((len(ids), 1), PAD, np.int64)], 1)
    ended[np.arange(len(ids)), (ids != PAD).sum(1)] = END
    return ended
