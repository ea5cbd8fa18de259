"""How numbers become the tables' strings, and how tables are written."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.marketplace.catalogue import Catalogue
from components.marketplace.words import CITIES, QUERY_EXTRAS

EXTRAS = (*CITIES, *QUERY_EXTRAS)


class Texts:
    """A catalogue's texts as Arrow arrays, made once per process."""

    def __init__(self, catalogue: Catalogue):
        self.catalogue = catalogue
        self.companies = pa.array(catalogue.companies.names)
        self.titles = pa.array(catalogue.postings.titles)
        self.items = pa.array([f"j{number:07d}" for number in range(len(catalogue.postings))])
        self._queries = pa.array(catalogue.queries.texts)

    def member_ids(self, first: int, count: int) -> pa.Array:
        """Ids of members `first` to `first + count - 1`, the same in every table."""
        return pa.array([f"m{number:08d}" for number in range(first, first + count)])

    def queries(
        self, query: NDArray[np.integer], extra: NDArray[np.integer], none: NDArray[np.bool_]
    ) -> pa.DictionaryArray:
        """Texts of queries, with their extra word where that is not -1."""
        width = len(EXTRAS) + 1
        pairs, code = np.unique(np.where(none, 0, query * width + extra + 1), return_inverse=True)
        base = self._queries.take(pa.array(pairs // width)).to_pylist()
        more = ["", *(f" {word}" for word in EXTRAS)]
        texts = [text + more[e] for text, e in zip(base, pairs % width, strict=True)]
        # "data analyst jobs" is a query as well as a query with an extra word.
        number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        renumbered = np.array([number[text] for text in texts])
        return coded(renumbered[code], list(number), none=none)


def coded(
    codes: NDArray[np.integer],
    words: Sequence[str] | pa.Array,
    *,
    none: NDArray[np.bool_] | None = None,
) -> pa.DictionaryArray:
    """Make strings of numbers, keeping only the words in use; null where `none`."""
    words = words if isinstance(words, pa.Array) else pa.array(words)
    if none is not None:
        codes = np.where(none, 0, codes)
    used = np.zeros(len(words), bool)
    used[codes] = True
    number = np.cumsum(used, dtype=np.int32) - 1
    kept = words.take(pa.array(np.flatnonzero(used)))
    return pa.DictionaryArray.from_arrays(pa.array(number[codes], mask=none), kept)


def save(table: pa.Table, path: Path) -> None:
    """Write `table` as Parquet; without Arrow's schema, strings come back as plain strings."""
    pq.write_table(
        table,
        path,
        store_schema=False,
        compression="zstd",
        compression_level=1,
        write_statistics=False,
    )
