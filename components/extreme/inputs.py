"""What Slice accepts: finite rows, matching shapes, at least one label."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from components.extreme.errors import ExtremeError

Lists = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Offsets int64 [n + 1], and the values int32 of list after list."""


def unit_rows(x: ArrayLike, name: str, dimension: int | None = None) -> NDArray[np.float32]:
    """Scale rows to unit length; a row of zeros stays one.

    Raises:
        ExtremeError: the shape does not fit, or a row is not finite.
    """
    rows = np.asarray(x)
    if rows.ndim != 2 or (dimension is not None and rows.shape[1] != dimension):
        expected = f"[n, {'d' if dimension is None else dimension}]"
        raise ExtremeError(f"{name} must have shape {expected}, not {list(rows.shape)}")
    if rows.dtype.kind not in "fiub":
        raise ExtremeError(f"{name} must hold numbers, not {rows.dtype}")
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    largest = np.abs(rows).max(axis=1, initial=0)
    bad = np.flatnonzero(~np.isfinite(largest))
    if len(bad):
        raise ExtremeError(f"row {bad[0]} of {name} holds NaN or infinite values")
    scale = np.where(largest > 0, largest, 1)[:, None]  # first, so that no square overflows
    scaled = rows / scale
    norms = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))[:, None]
    scaled /= np.where(norms > 0, norms, 1)
    return scaled.astype(np.float32, copy=False)


def label_matrix(y: sp.spmatrix, points: int) -> sp.csr_matrix:
    """Reduce a sparse matrix to its non-zero pattern: sorted columns, ones.

    Raises:
        ExtremeError: it has another number of rows than there are points, or no label.
    """
    if not sp.issparse(y):
        raise ExtremeError(f"y must be a scipy sparse matrix, not {type(y).__name__}")
    if y.shape[0] != points:
        raise ExtremeError(f"y has {y.shape[0]} rows, x has {points}")
    pattern = sp.csr_matrix(y, copy=True)
    pattern.sum_duplicates()
    pattern.eliminate_zeros()
    if pattern.nnz == 0:
        raise ExtremeError("y holds no label at all")
    pattern.data = np.ones(pattern.nnz, np.float32)
    return pattern


def by_label(y: sp.csr_matrix) -> Lists:
    """Return the rows that carry each label."""
    columns = y.tocsc()
    return columns.indptr.astype(np.int64), columns.indices.astype(np.int32)


def exclusions(exclude: sp.spmatrix | None, shape: tuple[int, int]) -> Lists:
    """Return the labels that each row is not to be given.

    Raises:
        ExtremeError: `exclude` has another shape than rows by labels.
    """
    if exclude is None:
        return np.zeros(shape[0] + 1, np.int64), np.zeros(0, np.int32)
    if exclude.shape != shape:
        raise ExtremeError(f"exclude must have shape {list(shape)}, not {list(exclude.shape)}")
    rows = sp.csr_matrix(exclude)
    return rows.indptr.astype(np.int64), rows.indices.astype(np.int32)
