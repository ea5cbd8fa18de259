"""Scores of the candidates of impressions, some thousand pairs at a time."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from components.news.impressions import Impressions
from components.news.lists import Pairs, gather
from components.news.vectors import NewsVectors
from components.progress import progress

PAIRS_AT_ONCE = 8192

Score = Callable[[Pairs], NDArray[np.float32]]


def score_impressions(
    score: Score, impressions: Impressions, rows: NDArray[np.int64], vectors: NewsVectors
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return float32[m], scores of the candidates of some impressions, and int64[n + 1] offsets."""
    offsets = np.append(0, np.cumsum(impressions.offsets[rows + 1] - impressions.offsets[rows]))
    scores = np.empty(offsets[-1], np.float32)
    with progress("score news", total=len(rows)) as bar:
        for start, end in _blocks(offsets):
            positions, own = impressions.positions(rows[start:end])
            histories, of = np.unique(impressions.history[rows[start:end]], return_inverse=True)
            user = np.repeat(of, np.diff(own)).astype(np.int32)
            pairs = gather(vectors, histories, user, impressions.items[positions])
            scores[offsets[start] : offsets[end]] = score(pairs)
            bar.advance(end - start)
    return scores, offsets


def _blocks(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(offsets) - 1:
        end = int(np.searchsorted(offsets, offsets[start] + PAIRS_AT_ONCE, side="right")) - 1
        end = max(end, start + 1)
        yield start, end
        start = end
