"""Rows of ids and texts, found by a sorted 64-bit hash that can stay on disk."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_REPEATS_PAY = 1_000


class TextIndex(NamedTuple):
    """The row of each text.

    Attributes:
        keys: uint64[n], ascending.
        rows: int64[n], beside them.
    """

    keys: NDArray[np.uint64]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Index texts by their position."""
        keys = _keys(texts)
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], order.astype(np.int64))

    def find(self, texts: Sequence[str | None] | pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """Return int64 rows, -1 for a text that is not there."""
        if len(texts) <= _REPEATS_PAY and not isinstance(texts, (pa.Array, pa.ChunkedArray)):
            return self._find(texts)
        column = texts if isinstance(texts, (pa.Array, pa.ChunkedArray)) else pa.array(texts)
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        coded = column.dictionary_encode()
        found = np.append(self._find(coded.dictionary.to_pylist()), -1)
        return found[coded.indices.cast(pa.int64()).fill_null(-1).to_numpy()]

    def _find(self, texts: Sequence[str | None]) -> NDArray[np.int64]:
        if not len(self.keys) or not len(texts):
            return np.full(len(texts), -1, np.int64)
        keys = _keys(texts)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.rows[at], -1)


def _keys(texts: Sequence[str | None]) -> NDArray[np.uint64]:
    digests = b"".join(
        blake2b((text or "").encode("utf-8", "replace"), digest_size=8).digest() for text in texts
    )
    return np.frombuffer(digests, "<u8")
