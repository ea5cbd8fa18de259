"""What is kept of a member between sessions: as little as the next vector needs."""

import struct
from typing import NamedTuple, Self

import numpy as np

_HEAD = struct.Struct("<q?IIII")


class Trail(NamedTuple):
    """A member's closed sessions.

    Attributes:
        document: int32[t], the end of the member's document that vectors are made of; begins where
            a chunk does (`Embedder.recent`).
        chunks: float32[c, d], vectors of the document's closed chunks, newest first.
        past: int32[p], ascending: labels that the whole trail holds.
        until: time of the last action, microseconds UTC; 0 before the first.
        separated: whether the last session has a [SEP], which it has if any of it is in the
            document.
    """

    document: np.ndarray
    chunks: np.ndarray
    past: np.ndarray
    until: int
    separated: bool

    @classmethod
    def empty(cls, dimension: int) -> Self:
        """Return the trail of somebody who has done nothing yet."""
        nothing = np.zeros(0, np.int32)
        return cls(nothing, np.zeros((0, dimension), np.float32), nothing, 0, False)

    def extended(
        self, tokens: np.ndarray, lengths: np.ndarray, *, continues: bool
    ) -> tuple[np.ndarray, bool]:
        """Return the document and `separated` after further sessions.

        Args:
            tokens: int32[t], of the sessions, each that is not empty closed by [SEP].
            lengths: int64[s], tokens per session.
            continues: whether the first of the sessions is the rest of the last known one.
        """
        before = self.document
        if continues and self.separated and lengths[0]:
            # A [SEP] ends the session, not what was known of it; being last, no closed chunk
            # holds it.
            before = before[:-1]
        separated = bool(lengths[-1]) or (continues and len(lengths) == 1 and self.separated)
        return np.concatenate([before, tokens]).astype(np.int32, copy=False), separated

    def dump(self) -> bytes:
        """Return the trail as bytes."""
        sizes = (len(self.document), len(self.past), *self.chunks.shape)
        head = _HEAD.pack(self.until, self.separated, *sizes)
        parts = (self.document, self.past, self.chunks)
        return head + b"".join(np.ascontiguousarray(part).tobytes() for part in parts)

    @classmethod
    def load(cls, stored: bytes) -> Self:
        """Read what `dump` returned."""
        until, separated, tokens, labels, chunks, dimension = _HEAD.unpack_from(stored)
        document = np.frombuffer(stored, np.int32, tokens, _HEAD.size)
        past = np.frombuffer(stored, np.int32, labels, _HEAD.size + 4 * tokens)
        vectors = np.frombuffer(
            stored, np.float32, chunks * dimension, _HEAD.size + 4 * (tokens + labels)
        )
        return cls(document, vectors.reshape(chunks, dimension), past, until, separated)
