"""How good ranked lists are: a figure per list, from scores and graded gains.

Throughout, documents of all lists lie one after another, and list i holds the documents
offsets[i]:offsets[i + 1].
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ListFigures(NamedTuple):
    """A figure per list, float64[n]; NaN where a list has no such figure.

    Attributes:
        ndcg: of the first k; of lists with any gain.
        auc: chance that a document with gain is above one without; of lists with both.
        mrr: 1 over the place of the first document with gain; of lists with any.
    """

    ndcg: NDArray[np.float64]
    auc: NDArray[np.float64]
    mrr: NDArray[np.float64]


def list_figures(
    scores: NDArray[np.floating],
    gains: NDArray[np.floating],
    offsets: NDArray[np.int64],
    *,
    k: int,
    seed: int,
) -> ListFigures:
    """Measure every list.

    Documents with the same score are put in a random order: the one they come in is that of the
    page they were shown on, which a model without an opinion must not be credited with.

    Args:
        scores: of the documents, float[m], higher is better.
        gains: grades of the documents, float[m], 0 for nothing.
        offsets: int64[n + 1].
        k: documents that count for NDCG.
        seed: of the order among equals.

    Source: NDCG@k with gain 2^g - 1 and discount 1 / log2(1 + place), as tensorflow_ranking has it
    (Burges et al., Learning to rank using gradient descent, 2005).
    """
    sizes = np.diff(offsets)
    lists = np.repeat(np.arange(len(sizes)), sizes)
    luck = np.random.default_rng(seed).random(len(scores))
    place = np.arange(len(scores)) - offsets[lists]

    def by_list(values: NDArray) -> NDArray[np.float64]:
        return np.bincount(lists, values.astype(np.float64), len(sizes)).astype(np.float64)

    ranked = gains[np.lexsort((luck, -scores, lists))]
    ideal = gains[np.lexsort((-gains, lists))]
    discount = np.where(place < k, 1 / np.log2(2 + place), 0)
    best = by_list((2.0**ideal - 1) * discount)
    hit = ranked > 0
    hits = by_list(hit)
    misses = sizes - hits
    # Above each document without gain, count those with one: all such pairs are in order.
    found = np.cumsum(hit) - np.append(0, np.cumsum(hit))[offsets[lists]]
    ordered = by_list(np.where(hit, 0, found))
    first = by_list(np.where(hit & (found == 1), 1 / (1 + place), 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return ListFigures(
            ndcg=np.where(best > 0, by_list((2.0**ranked - 1) * discount) / best, np.nan),
            auc=np.where((hits > 0) & (misses > 0), ordered / (hits * misses), np.nan),
            mrr=np.where(hits > 0, first, np.nan),
        )
