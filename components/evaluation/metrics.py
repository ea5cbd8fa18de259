"""How good ranked labels are: pure functions of predictions and truth.

Throughout, `labels` are predictions int32 [n, k], best first, -1 where a method had no more to say
(such a place counts as wrong), and `truth` is sparse [n, L], where any stored non-zero is a label.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

_CELLS_AT_ONCE = 4_000_000


def hits(labels: NDArray[np.int32], truth: sp.csr_matrix) -> NDArray[np.bool_]:
    """Tell which predictions are among the true labels, bool [n, k]."""
    width = truth.shape[1]
    true_rows = np.repeat(np.arange(truth.shape[0]), np.diff(truth.indptr))[truth.data != 0]
    true_cells = true_rows.astype(np.int64) * width + truth.indices[truth.data != 0]
    cells = np.arange(len(labels), dtype=np.int64)[:, None] * width + labels
    return np.isin(cells, true_cells) & (labels >= 0)


def precision_at_k(labels: NDArray[np.int32], truth: sp.csr_matrix, k: int) -> float:
    """Share of the first k predictions that are true: P@k = 1/N sum_i 1/k |top_k(i) & truth(i)|.

    Source: paper, section 5.1.
    """
    return float(hits(labels[:, :k], truth).sum() / (k * len(labels)))


def semantic_similarity_at_k(
    labels: NDArray[np.int32], truth: sp.csr_matrix, entity_vectors: NDArray[np.float32], k: int
) -> float:
    """Closeness of the first k predictions to the nearest true entity.

    SS@k = 1/N sum_i 1/k sum_{j<=k} max_{e in truth(i)} cosine(prediction_ij, e). A missing
    prediction, and an entity none of whose words has a vector, is 0 close to everything.

    Args:
        labels: predictions, int32 [n, k or more].
        truth: true labels, sparse [n, L]; every row has one.
        entity_vectors: float32 [L, d].
        k: predictions that count.

    Source: paper, equation 2.
    """
    norms = np.linalg.norm(entity_vectors, axis=1, keepdims=True)
    unit = entity_vectors / np.where(norms > 0, norms, 1)
    total = 0.0
    rows_at_once = max(1, _CELLS_AT_ONCE // (unit.shape[1] * max(1, truth.nnz // len(labels))))
    for start in range(0, len(labels), rows_at_once):
        block = slice(start, start + rows_at_once)
        wanted, predicted = truth[block], labels[block, :k]
        rows = np.repeat(np.arange(wanted.shape[0]), np.diff(wanted.indptr))
        true_vectors = unit[wanted.indices]
        for j in range(predicted.shape[1]):
            ours = unit[predicted[:, j]] * (predicted[:, j, None] >= 0)
            cosines = np.einsum("nd,nd->n", ours[rows], true_vectors)
            total += np.maximum.reduceat(cosines, wanted.indptr[:-1]).sum(dtype=np.float64)
    return total / (k * len(labels))


def suggestion_coverage(labels: NDArray[np.int32], label_count: int) -> float:
    """Distinct labels among everybody's predictions (the paper: top 100) over all labels.

    Source: paper, section 5.2.
    """
    return len(np.unique(labels[labels >= 0])) / label_count


def repeat_share(labels: NDArray[np.int32], past: sp.csr_matrix, k: int) -> float:
    """Share of the first k suggestions that the member's own past holds.

    Only suggestions made count: a method that says nothing repeats nothing.

    Source: paper, section 5.2 (the generative model ACG repeated in 99.3% of cases).
    """
    shown = labels[:, :k]
    return float(hits(shown, past).sum() / max(1, (shown >= 0).sum()))


def propensities(
    counts: NDArray[np.int64], points: int, *, a: float = 0.55, b: float = 1.5
) -> NDArray[np.float64]:
    """Estimate the chance that a label which applies to a point was recorded.

    p_l = 1 / (1 + C exp(-A log(N_l + B))) with C = (log N - 1) (B + 1)^A, at least 0.

    Args:
        counts: training points that have each label, N_l.
        points: training points, N.
        a: A, of the data set; 0.55 and 1.5 are the authors' values for labels in general.
        b: B, likewise.

    Source: Jain, Prabhu, Varma: Extreme multi-label loss functions, KDD 2016.
    """
    c = max(0.0, (np.log(points) - 1) * (b + 1) ** a)
    return 1 / (1 + c * (np.asarray(counts) + b) ** -a)


def propensity_scored_precision_at_k(
    labels: NDArray[np.int32], truth: sp.csr_matrix, propensity: NDArray[np.float64], k: int
) -> float:
    """Precision in which a rare label counts for more, as a share of the best attainable.

    PSP@k = sum_i sum_{l in top_k(i) & truth(i)} 1/p_l  /  sum_i sum of the k largest 1/p_l of
    truth(i): the normalised form of the Extreme Classification Repository.

    Source: Jain, Prabhu, Varma: Extreme multi-label loss functions, KDD 2016.
    """
    weight = 1 / propensity
    shown = labels[:, :k]
    gained = weight[shown][hits(shown, truth)].sum()
    rows = np.repeat(np.arange(truth.shape[0]), np.diff(truth.indptr))
    weights = weight[truth.indices]
    order = np.lexsort((-weights, rows))
    place = np.arange(truth.nnz) - truth.indptr[rows]
    return float(gained / weights[order][place < k].sum())


def grade_shares(grades: NDArray, names: Sequence[str]) -> dict[str, float]:
    """Share of suggestions with each grade.

    Args:
        grades: number of a grade in `names` per suggestion, any shape; negative where there is
            no suggestion, which does not count.
        names: what the grades are called.

    Source: paper, table 5.
    """
    counts = np.bincount(grades[grades >= 0].ravel().astype(np.int64), minlength=len(names))
    return dict(zip(names, (counts / max(1, counts.sum())).tolist(), strict=True))


def difference_interval(
    ours: NDArray, theirs: NDArray, *, resamples: int, seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Compare two methods on the same members.

    Args:
        ours: a figure per member, such as whether the first suggestion was right, [n].
        theirs: the same figure of the other method, [n].
        resamples: draws of n members with replacement.
        seed: of the draws.
        level: share of the draws that the interval holds.

    Returns:
        Mean of ours - theirs, and the bounds of its bootstrap percentile interval.
    """
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    return mean_interval(difference, resamples=resamples, seed=seed, level=level)


def mean_interval(
    figures: NDArray, *, resamples: int, seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Give the mean of a figure over members or lists, and its bootstrap percentile interval.

    Args:
        figures: one per member or list, [n].
        resamples: draws of n of them with replacement.
        seed: of the draws.
        level: share of the draws that the interval holds.

    Returns:
        The mean and the interval's bounds.

    Source: Efron, Bootstrap methods: another look at the jackknife, 1979.
    """
    # Those with the same figure are alike, so a draw is one of their numbers.
    values, counts = np.unique(figures, return_counts=True)
    rng, share = np.random.default_rng(seed), counts / len(figures)
    draws_at_once = max(1, _CELLS_AT_ONCE // len(values))
    means = [
        rng.multinomial(len(figures), share, size=min(draws_at_once, resamples - done)) @ values
        for done in range(0, resamples, draws_at_once)
    ]
    bounds = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.concatenate(means) / len(figures), bounds)
    return float(np.mean(figures)), float(low), float(high)


def by_frequency(
    labels: NDArray[np.int32],
    truth: sp.csr_matrix,
    counts: NDArray[np.int64],
    bands: Mapping[str, tuple[float, float]],
) -> list[dict[str, float | str]]:
    """Split hits by how frequent the label is in training.

    Args:
        labels: predictions, int32 [n, k].
        truth: true labels, sparse [n, L].
        counts: training examples that have each label, [L].
        bands: name to (least count, count below which), in the order of the result.

    Returns:
        Per band: `precision`, the share of its suggestions that are true (0 without any);
        `recall`, the share of its true labels that were suggested; `suggested`, its share of all
        suggestions.
    """
    right = hits(labels, truth)
    made = labels >= 0
    result: list[dict[str, float | str]] = []
    for name, (low, high) in bands.items():
        inside = (counts >= low) & (counts < high)
        suggested = made & inside[labels]
        found = (right & suggested).sum()
        result.append(
            {
                "band": name,
                "precision": float(found / max(1, suggested.sum())),
                "recall": float(found / max(1, inside[truth.indices].sum())),
                "suggested": float(suggested.sum() / max(1, made.sum())),
            }
        )
    return result
