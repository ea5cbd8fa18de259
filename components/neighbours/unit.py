"""Vectors of length one, and the refusal of those that have no direction."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from components.neighbours.errors import NeighboursError


def unit_rows(
    vectors: NDArray[np.float32], name: Callable[[int], str]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the rows at unit length, float32[n, d], and which were zero (they stay zero).

    Args:
        vectors: any length, [n, d].
        name: says which row it is, for the message.

    Raises:
        NeighboursError: a row holds NaN or infinity; names it.
    """
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    # Sums of finite float32 squares stay finite in float64, so this finds every bad number.
    bad = np.flatnonzero(~np.isfinite(length))
    if len(bad):
        raise NeighboursError(f"{name(int(bad[0]))}: the vector holds NaN or infinity")
    zero = length == 0
    scale = 1 / np.where(zero, 1, length)
    return (vectors * scale[:, None]).astype(np.float32), zero
