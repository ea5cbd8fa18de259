"""Which subwords go into a batch: chunks of sessions for pre-training, contexts for fine-tuning."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numba
import numpy as np
import torch

from components.encoder.model import Packed
from components.labels.examples import Examples
from components.text.documents import Tokens


class Chunks(NamedTuple):
    """Pieces of documents that pre-training sees, one row each.

    Attributes:
        shard: int32[n], token shard.
        start: int64[n], first subword within the shard.
        end: int64[n], past the last subword.
        cut: int64[n], where the second segment starts, a session's start where there is one.
    """

    shard: np.ndarray
    start: np.ndarray
    end: np.ndarray
    cut: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


def cut_chunks(tokens: Tokens, *, limit: int, split: int, seed: int) -> Chunks:
    """Cut the documents of one split into chunks of whole sessions, at most `limit` subwords each.

    A session longer than `limit` is cut into pieces. The start of the second segment is drawn from
    the session starts inside the chunk; it is the end when the chunk is one session.

    Args:
        tokens: documents.
        limit: subwords of a chunk, [CLS] not counted.
        split: 0 train, 1 validation, 2 test.
        seed: of the second segments.
    """
    parts = []
    for number, shard in enumerate(tokens.shards):
        members = np.flatnonzero(shard.split == split)
        start, end, cut = _cut(
            np.asarray(shard.session_offsets),
            np.asarray(shard.member_offsets),
            members,
            limit,
            np.uint64(seed + number),
        )
        parts.append((np.full(len(start), number, np.int32), start, end, cut))
    return Chunks(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def pack(
    documents: Sequence[np.ndarray],
    cls: int,
    cuts: Sequence[int] | None = None,
    *,
    longest: int | None = None,
    window: int = 0,
) -> Packed:
    """Lay documents end to end, each behind [CLS].

    The position table ends at `max_tokens`. In a longer document it starts over, so that the newest
    subwords have the places that a chunk of them would have (Longformer copies its table likewise).

    Args:
        documents: int32 subwords, without [CLS].
        cls: id of [CLS].
        cuts: per document, the number of subwords in its first segment; all when None.
        longest: `max_tokens`, where documents may be longer.
        window: tokens to each side that those of longer documents attend to.
    """
    lengths = [len(document) + 1 for document in documents]
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    ids = np.empty(offsets[-1], np.int64)
    segments = np.zeros(offsets[-1], np.int64)
    for row, document in enumerate(documents):
        start, end = offsets[row], offsets[row + 1]
        ids[start] = cls
        ids[start + 1 : end] = document
        if cuts is not None:
            segments[start + 1 + cuts[row] : end] = 1
    positions = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    for row, length in enumerate(lengths):
        if longest is not None and length > longest:
            from_end = np.arange(length - 2, -1, -1)
            positions[offsets[row] + 1 : offsets[row + 1]] = longest - 1 - from_end % (longest - 1)
    return Packed(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(segments),
        torch.from_numpy(offsets.astype(np.int32)),
        lengths,
        window,
    )


def contexts(tokens: Tokens, examples: Examples, *, limit: int | None) -> Callable:
    """Return a function from an example's row to the int32 subwords of its context.

    Args:
        tokens: documents.
        examples: which sessions are context.
        limit: most recent subwords to keep; all when None.
    """
    members = tokens.rows(examples.table["member_id"])
    first, end = examples.table["first_session"], examples.table["context_end"]

    def context(row: int) -> np.ndarray:
        document = tokens.document(int(members[row]), int(first[row]), int(end[row]))
        return document if limit is None else document[-limit:]

    return context


def epoch_order(count: int, *, epoch: int, seed: int) -> np.ndarray:
    """Return the order in which an epoch visits `count` items, a pure function of its arguments."""
    return np.random.default_rng([seed, epoch]).permutation(count)


@numba.njit(cache=True)
def _cut(session_offsets, member_offsets, members, limit, seed):
    starts, ends, cuts = [np.int64(0)], [np.int64(0)], [np.int64(0)]
    state = seed * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    for member in members:
        first, last = member_offsets[member], member_offsets[member + 1]
        session = first
        while session < last:
            start = session_offsets[session]
            stop = session + 1
            while stop < last and session_offsets[stop + 1] - start <= limit:
                stop += 1
            end = session_offsets[stop]
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            cut = end
            if stop - session > 1:
                inner = np.int64(state % np.uint64(stop - session - 1))
                cut = session_offsets[session + 1 + inner]
            while start < end:  # more than once only for one session longer than the limit
                piece = min(end, start + limit)
                starts.append(start)
                ends.append(piece)
                cuts.append(min(cut, piece))
                start = piece
            session = stop
    return np.array(starts)[1:], np.array(ends)[1:], np.array(cuts)[1:]
