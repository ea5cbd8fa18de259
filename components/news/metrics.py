"""The official measures of MIND, over impressions of unequal length at once.

Candidates of all impressions lie one behind the other; impression i has those of
offsets[i]:offsets[i + 1].
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Figures(NamedTuple):
    """A figure per impression, float64[n]; NaN where all candidates or none were clicked.

    Attributes:
        auc: chance that a clicked candidate is ranked above another.
        mrr: mean of 1 / rank over the clicked candidates, not only the first.
        ndcg5: NDCG of the first 5.
        ndcg10: NDCG of the first 10.
    """

    auc: NDArray[np.float64]
    mrr: NDArray[np.float64]
    ndcg5: NDArray[np.float64]
    ndcg10: NDArray[np.float64]


def ranks_of(
    scores: NDArray[np.floating], offsets: NDArray[np.int64], *, seed: int
) -> NDArray[np.int32]:
    """Return int32[m], the rank of each candidate within its impression, from 1.

    Equal scores are ranked at random: where all of a page's are equal, the order of the file must
    earn nothing.

    Args:
        scores: of the candidates, float[m], higher is better.
        offsets: int64[n + 1].
        seed: of the order among equals.
    """
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    luck = np.random.default_rng(seed).random(len(scores))
    order = np.lexsort((luck, -scores, owner))
    ranks = np.empty(len(scores), np.int32)
    ranks[order] = np.arange(len(scores)) - offsets[owner] + 1
    return ranks


def figures_of(
    ranks: NDArray[np.int32], clicked: NDArray[np.bool_], offsets: NDArray[np.int64]
) -> Figures:
    """Measure every impression; their means over those that have figures are the official ones.

    The official script takes ranks, never scores, so there are no ties, and cannot measure an
    impression whose candidates were all clicked, or none.

    Args:
        ranks: of the candidates within their impressions, int32[m], from 1.
        clicked: bool[m].
        offsets: int64[n + 1].

    Source: evaluate.py of the MIND competition (Wu et al., ACL 2020, section 5.1).
    """
    sizes = np.diff(offsets)
    owner = np.repeat(np.arange(len(sizes)), sizes)

    def by_impression(values: NDArray) -> NDArray[np.float64]:
        return np.bincount(owner, values, len(sizes)).astype(np.float64)

    clicks = by_impression(clicked)
    others = sizes - clicks
    discount = 1 / np.log2(1.0 + ranks)
    best = np.append(0, np.cumsum(1 / np.log2(2.0 + np.arange(sizes.max(initial=0)))))
    # The ranks of n clicked candidates sum to n (n + 1) / 2, and 1 for each other above each.
    above = by_impression(clicked * ranks.astype(np.float64)) - clicks * (clicks + 1) / 2

    def ndcg(k: int) -> NDArray[np.float64]:
        found = by_impression(clicked * discount * (ranks <= k))
        return found / best[np.minimum(clicks, k).astype(np.int64)]

    with np.errstate(invalid="ignore", divide="ignore"):
        figures = (
            1 - above / (clicks * others),
            by_impression(clicked / ranks) / clicks,
            ndcg(5),
            ndcg(10),
        )
    measurable = (clicks > 0) & (others > 0)
    return Figures(*(np.where(measurable, figure, np.nan) for figure in figures))
