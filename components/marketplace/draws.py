"""Small helpers to draw from distributions."""

import numpy as np
from numpy.typing import NDArray


def zipf(ranks: NDArray[np.int64], exponent: float) -> NDArray[np.float64]:
    """Shares that fall with the rank (from 0) to the power of -`exponent`; they add up to 1."""
    weights = (ranks + 1.0) ** -exponent
    return weights / weights.sum()


def draw(rng: np.random.Generator, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw one column for each row, with the row's shares.

    Args:
        rng: source of luck.
        shares: float64[n, k], rows add up to 1.

    Returns:
        int64[n], 0 to k - 1.
    """
    edges = np.cumsum(shares, axis=1)[:, :-1]
    return (rng.random((len(shares), 1)) >= edges).sum(1)
