"""The floors for every recommender: popular labels, the member's own, and those that go with them.

Each ranks labels for some examples and returns labels int32 [n, k], best first and -1 where there
are fewer, with their scores float32 [n, k] (0 for a missing label). `exclude`, sparse [n, L], names
labels not to return, such as what the member has done already. Work is cut into blocks, so that
memory grows with k and with the labels of a row, never with n x L.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Ranking = tuple[NDArray[np.int32], NDArray[np.float32]]

_ROWS_AT_ONCE = 4096
_PRODUCTS_AT_ONCE = 20_000_000


def popular(counts: NDArray, rows: int, k: int, *, exclude: sp.csr_matrix | None = None) -> Ranking:
    """Give everybody the labels that most training examples have.

    Args:
        counts: training examples of each label, [L].
        rows: examples to rank for.
        k: labels per example.
        exclude: labels not to return, sparse [rows, L].
    """
    order = np.argsort(-np.asarray(counts), kind="stable")
    order = order[np.asarray(counts)[order] > 0].astype(np.int32)
    if exclude is None:
        labels, scores = _first_unbarred(order, counts, np.zeros((1, len(order)), bool), k)
        return np.repeat(labels, rows, axis=0), np.repeat(scores, rows, axis=0)
    rank = np.full(len(counts), len(order))
    rank[order] = np.arange(len(order))
    blocks = []
    for start, stop in _blocks(rows):
        barred = exclude[start:stop].tocsr()
        widest = k + int(np.diff(barred.indptr).max(initial=0))
        mask = np.zeros((stop - start, min(widest, len(order))), bool)
        positions = rank[barred.indices]
        within = positions < mask.shape[1]
        mask[_row_numbers(barred)[within], positions[within]] = True
        blocks.append(_first_unbarred(order[:widest], counts, mask, k))
    return _stacked(blocks, k)


def repeat(context: sp.csr_matrix, k: int, *, exclude: sp.csr_matrix | None = None) -> Ranking:
    """Give every member the labels of their own past, the most recent first.

    Args:
        context: sparse [n, L]; the larger a label's value, the more recent (`Examples.context`).
        k: labels per example.
        exclude: labels not to return, sparse [n, L].
    """
    return top_labels(context, k, exclude=exclude)


def label_similarity(
    labels: sp.csr_matrix, *, popularity: float = 0.5, neighbours: int = 200
) -> sp.csr_matrix:
    """Measure how often label j goes with label i.

    s(i, j) = n_ij / (n_i^(1-a) n_j^a), with n_ij the training examples that have both, and a the
    discount of j's popularity: the cosine of item-to-item collaborative filtering for 1/2, the
    conditional frequency of j given i for 0. A label is most similar to itself.

    Args:
        labels: of the training examples, sparse [n, L]; any non-zero counts once.
        popularity: a, between 0 and 1.
        neighbours: most similar labels kept per label.

    Returns:
        float32 CSR [L, L], row i the labels like i.

    Source: Sarwar et al., Item-based collaborative filtering recommendation algorithms, WWW 2001;
    Deshpande and Karypis, Item-based top-N recommendation algorithms, TOIS 2004.
    """
    shown = _binary(labels)
    counts = np.maximum(np.bincount(shown.indices, minlength=shown.shape[1]), 1.0)
    discounted = (shown @ sp.diags_array((counts**-popularity).astype(np.float32))).tocsr()
    given = (counts ** (popularity - 1)).astype(np.float32)
    by_label = shown.T.tocsr()
    # The cost of a label's row is the number of labels beside it in all of its examples.
    cost = by_label @ np.diff(shown.indptr)
    parts = []
    for start, stop in _blocks_of_cost(cost):
        block = sp.diags_array(given[start:stop]) @ (by_label[start:stop] @ discounted)
        parts.append(_strongest(block.tocsr(), neighbours))
    return sp.vstack(parts, format="csr", dtype=np.float32)


def co_occurrence(
    similarity: sp.csr_matrix,
    context: sp.csr_matrix,
    k: int,
    *,
    exclude: sp.csr_matrix | None = None,
) -> Ranking:
    """Give every member the labels most similar, in sum, to the labels of their past.

    Args:
        similarity: from `label_similarity`, sparse [L, L].
        context: past labels, sparse [n, L]; any non-zero counts once.
        k: labels per example.
        exclude: labels not to return, sparse [n, L].
    """
    past = _binary(context)
    blocks = []
    for start, stop in _blocks_of_cost(past @ np.diff(similarity.indptr)):
        barred = None if exclude is None else exclude[start:stop]
        blocks.append(top_labels(past[start:stop] @ similarity, k, exclude=barred))
    return _stacked(blocks, k)


def top_labels(scores: sp.csr_matrix, k: int, *, exclude: sp.csr_matrix | None = None) -> Ranking:
    """Rank the stored positive scores of every row; equal scores in the order of the labels."""
    scores = sp.csr_matrix(scores, dtype=np.float32)
    if exclude is not None:
        barred = _binary(exclude)
        scores = scores - scores.multiply(barred)
    scores.eliminate_zeros()
    best = _strongest(scores.tocsr(), k)
    rows = _row_numbers(best)
    places = np.arange(best.nnz) - best.indptr[rows]
    labels = np.full((scores.shape[0], k), -1, np.int32)
    values = np.zeros((scores.shape[0], k), np.float32)
    labels[rows, places], values[rows, places] = best.indices, best.data
    return labels, values


def _strongest(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Keep the k largest values of every row, the largest first."""
    rows = _row_numbers(matrix)
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    kept = order[np.arange(matrix.nnz) - matrix.indptr[rows] < k]
    offsets = np.concatenate([[0], np.cumsum(np.minimum(np.diff(matrix.indptr), k))])
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], offsets), matrix.shape)


def _first_unbarred(order: NDArray, counts: NDArray, barred: NDArray, k: int) -> Ranking:
    places = np.argsort(barred, axis=1, kind="stable")[:, :k]
    free = ~np.take_along_axis(barred, places, axis=1)
    labels = np.full((len(barred), k), -1, np.int32)
    scores = np.zeros((len(barred), k), np.float32)
    found = order[places]
    labels[:, : found.shape[1]] = np.where(free, found, -1)
    scores[:, : found.shape[1]] = np.where(free, np.asarray(counts)[found], 0)
    return labels, scores


def _binary(matrix: sp.csr_matrix) -> sp.csr_matrix:
    matrix = sp.csr_matrix(matrix, dtype=np.float32, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    matrix.data[:] = 1
    return matrix


def _row_numbers(matrix: sp.csr_matrix) -> NDArray[np.int64]:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _blocks(rows: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, _ROWS_AT_ONCE):
        yield start, min(start + _ROWS_AT_ONCE, rows)


def _blocks_of_cost(cost: NDArray) -> Iterator[tuple[int, int]]:
    """Cut rows into runs of at most `_PRODUCTS_AT_ONCE`, or of a single row that costs more."""
    total = np.cumsum(cost)
    start = 0
    while start < len(cost):
        spent = total[start - 1] if start else 0
        stop = int(np.searchsorted(total, spent + _PRODUCTS_AT_ONCE, side="right"))
        stop = max(stop, start + 1)
        yield start, stop
        start = stop


def _stacked(blocks: list[Ranking], k: int) -> Ranking:
    if not blocks:
        return np.zeros((0, k), np.int32), np.zeros((0, k), np.float32)
    labels, scores = zip(*blocks, strict=True)
    return np.concatenate(labels), np.concatenate(scores)
