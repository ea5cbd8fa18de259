"""Vectors of news items and of reading histories, on disk in half precision.

Both come from the fine-tuned encoder: v of an item's sentence, u of the sentences of a member's
most recent clicks, one behind the other as in his activity document; of those longer than the
encoder's window, u is a mean over chunks, as every activity vector is. Half precision, because the
160 thousand items and millions of histories of MIND would not fit otherwise: 1024 d vectors take
2 KB each.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.encoder.embed import Embedder
from components.files import whole_file
from components.news.errors import NewsError
from components.news.impressions import Impressions
from components.progress import progress
from components.text.tokeniser import COLUMNS, Tokeniser
from components.text.vocabulary import Vocabulary

ITEMS, HISTORIES = "items", "histories"
ROWS_AT_ONCE = 4096

logger = logging.getLogger(__name__)


class NewsVectors(NamedTuple):
    """Memory-mapped vectors; the last row of each is zero, and stands for what has none.

    Attributes:
        users: float16[histories + 1, d], u.
        items: float16[items + 1, d], v.
    """

    users: NDArray[np.float16]
    items: NDArray[np.float16]


class Sentences(NamedTuple):
    """The subwords of every item as one session of its own, end to end.

    Attributes:
        tokens: int32[T].
        offsets: int64[items + 1].
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def of(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the subwords of some items, one behind the other."""
        spans = zip(self.offsets[rows], self.offsets[rows + 1], strict=True)
        return np.concatenate([self.tokens[start:end] for start, end in spans])


def tokenise_items(items: pa.Table, vocabulary: Vocabulary) -> Sentences:
    """Turn every item's sentence into subwords, as a member's document has them."""
    count = len(items)
    action = next(iter(vocabulary.actions))
    columns = {
        "member_id": pa.array(np.arange(count)).cast(pa.string()),
        "session": np.ones(count, np.int32),
        "ts": np.zeros(count, np.int64),
        "action": pa.array([action] * count, pa.string()),
        "query": pa.nulls(count, pa.string()),
        "company": pa.nulls(count, pa.string()),
        "title": items["title"].combine_chunks(),
    }
    documents = Tokeniser(vocabulary)(pa.record_batch([columns[name] for name in COLUMNS], COLUMNS))
    return Sentences(documents.tokens, np.append(0, np.cumsum(documents.session_lengths)))


def encode_news(
    items: Sentences, impressions: Impressions, embedder: Embedder, directory: Path
) -> NewsVectors:
    """Encode every item and every distinct history once; what a killed run encoded is kept.

    Args:
        items: their sentences.
        impressions: whose histories to encode.
        embedder: of the fine-tuned encoder.
        directory: that keeps the vectors.
    """
    histories = impressions.histories

    def history(row: int) -> NDArray[np.int32]:
        clicked = histories[row]
        return items.of(clicked[clicked >= 0])

    def item(row: int) -> NDArray[np.int32]:
        return items.tokens[items.offsets[row] : items.offsets[row + 1]]

    return NewsVectors(
        _encode(directory / HISTORIES, history, len(histories), embedder),
        _encode(directory / ITEMS, item, len(items.offsets) - 1, embedder),
    )


def _encode(
    place: Path, document: Callable[[int], NDArray[np.int32]], count: int, embedder: Embedder
) -> NDArray[np.float16]:
    path, state = place.with_suffix(".npy"), place.with_suffix(".json")
    shape = (count + 1, embedder.dimension)
    done = json.loads(state.read_text())["done"] if state.exists() and path.exists() else 0
    array = np.lib.format.open_memmap(
        path, mode="r+" if done else "w+", dtype=np.float16, shape=None if done else shape
    )
    if array.shape != shape:
        raise NewsError(f"{path}: holds {array.shape}, not {shape}; delete it to start over")
    with progress(f"encode {place.name}", total=count, done=done) as bar:
        for start in range(done, count, ROWS_AT_ONCE):
            rows = range(start, min(start + ROWS_AT_ONCE, count))
            array[start : rows.stop] = embedder.embed([document(row) for row in rows])
            array.flush()
            with whole_file(state) as aside:
                aside.write_text(json.dumps({"done": rows.stop}))
            bar.advance(len(rows))
    return np.load(path, mmap_mode="r")
