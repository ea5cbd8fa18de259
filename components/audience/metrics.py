"""How good audiences are: pure functions of who was recommended and who then applied.

Throughout, audiences and relevance are sparse boolean matrices [postings, members]. Figures are
pooled over postings, and their intervals come from postings drawn anew with replacement.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

INTERVAL = (0.025, 0.975)
_DRAWS_AT_ONCE = 64


def pairs_matrix(
    postings: NDArray[np.int64], members: NDArray[np.int64], shape: tuple[int, int]
) -> sp.csr_matrix:
    """Return the matrix of (posting, member) pairs."""
    matrix = sp.csr_matrix((np.ones(len(postings), np.int8), (postings, members)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def draw_postings(postings: int, resamples: int, *, seed: int) -> NDArray[np.int64]:
    """Return how often each posting comes in each draw, int64 [1 + resamples, postings].

    The first row is the postings themselves, each once.
    """
    random = np.random.default_rng(seed)
    drawn = random.multinomial(postings, np.full(postings, 1 / max(postings, 1)), size=resamples)
    return np.vstack([np.ones((1, postings), np.int64), drawn])


class Figures(NamedTuple):
    """What an audience is worth in each draw of postings; float64 [draws].

    Attributes:
        recall: of the relevant pairs, the share recommended.
        precision: of the recommended pairs, the share relevant; 0 where there is none.
        f1: their harmonic mean.
        liquidity_batch: distinct members that a batch of postings reaches, on average.
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    f1: NDArray[np.float64]
    liquidity_batch: NDArray[np.float64]


def figures(
    recommended: sp.csr_matrix, relevant: sp.csr_matrix, draws: NDArray[np.int64], *, batch: int
) -> Figures:
    """Measure audiences in every draw of postings.

    A member named by c of n postings is reached by a batch of b, drawn with replacement, with
    probability 1 - (1 - c / n)^b.

    Args:
        recommended: audiences.
        relevant: who applied.
        draws: of `draw_postings`.
        batch: postings whose distinct recipients are counted.
    """
    sizes = (recommended, relevant, recommended.multiply(relevant))
    given, wanted, found = (
        draws @ np.asarray(m.sum(axis=1, dtype=np.int64)).ravel() for m in sizes
    )
    return Figures(
        found / np.maximum(wanted, 1),
        found / np.maximum(given, 1),
        2 * found / np.maximum(given + wanted, 1),
        _reached(recommended, draws, batch),
    )


def compare(
    audiences: Mapping[str, sp.csr_matrix],
    relevant: sp.csr_matrix,
    draws: NDArray[np.int64],
    *,
    against: Sequence[tuple[str, str]],
    batch: int,
) -> tuple[list[dict], list[dict]]:
    """Tabulate methods, and how some differ from others on the same postings.

    Args:
        audiences: of each method.
        relevant: who applied.
        draws: of `draw_postings`.
        against: pairs of a method and the one it is compared with.
        batch: see `figures`.

    Returns:
        Rows (method, recall with recall_low and recall_high, precision, f1, liquidity: distinct
        members over all postings, postings, liquidity_batch, pairs, per_posting: the median
        audience), and
        differences (method, against, measure, difference, low, high, relative: to the method
        compared with), all with 95% intervals.
    """
    measured = {
        method: figures(recommended, relevant, draws, batch=batch)
        for method, recommended in audiences.items()
    }
    rows = []
    for method, recommended in audiences.items():
        own = measured[method]
        low, high = np.quantile(own.recall[1:], INTERVAL)
        sizes = np.diff(recommended.indptr)
        rows.append(
            {
                "method": method,
                **{name: float(getattr(own, name)[0]) for name in Figures._fields},
                "recall_low": float(low),
                "recall_high": float(high),
                "liquidity": len(np.unique(recommended.indices)),
                "postings": recommended.shape[0],
                "pairs": int(sizes.sum()),
                "per_posting": float(np.median(sizes)),
            }
        )
    differences = []
    for method, other in against:
        for measure in Figures._fields:
            ours, theirs = (getattr(measured[name], measure) for name in (method, other))
            low, high = np.quantile((ours - theirs)[1:], INTERVAL)
            differences.append(
                {
                    "method": method,
                    "against": other,
                    "measure": measure,
                    "difference": float(ours[0] - theirs[0]),
                    "low": float(low),
                    "high": float(high),
                    "relative": float(ours[0] / theirs[0] - 1) if theirs[0] else None,
                }
            )
    return rows, differences


def _reached(
    recommended: sp.csr_matrix, draws: NDArray[np.int64], batch: int
) -> NDArray[np.float64]:
    _, column = np.unique(recommended.indices, return_inverse=True)
    named = sp.csr_matrix(
        (np.ones(len(column)), column, recommended.indptr),
        shape=(recommended.shape[0], int(column.max(initial=-1)) + 1),
    )
    reached = np.empty(len(draws))
    for start in range(0, len(draws), _DRAWS_AT_ONCE):
        part = slice(start, start + _DRAWS_AT_ONCE)
        share = (draws[part] @ named) / max(recommended.shape[0], 1)
        reached[part] = (1 - (1 - share.clip(max=1)) ** batch).sum(axis=1)
    return reached
