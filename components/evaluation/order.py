"""Whether methods stand in the published order, and by how much."""

from collections.abc import Mapping

from numpy.typing import NDArray

from components.evaluation.metrics import difference_interval
from components.evaluation.published import ORDERS, SAME_FEATURES

Units = Mapping[str, Mapping[str, NDArray]]
"""Figure to method to what it is the mean of: one number per member, or per label."""


def published_order(dataset: str, units: Units, *, resamples: int, seed: int) -> list[dict]:
    """Compare each method with the one that stands next below it in the paper.

    Args:
        dataset: that was measured.
        units: what was measured on it, the same members or labels for every method.
        resamples: draws of members or labels for the interval.
        seed: of the draws.

    Returns:
        A row per published pair of methods that were both measured: `figure`, `above`, `below`,
        the `published` and our `difference` with its 95% interval (`low`, `high`), and `holds`:
        "yes" or "no" where zero is outside the interval, else "open".
    """
    rows = []
    for (of, figure), published in ORDERS.items():
        own = units.get(figure, {})
        if of != dataset or not own:
            continue
        stated = {method: told[figure] for method, told in published.items() if figure in told}
        known = sorted(stated.keys() & own.keys(), key=lambda method: -stated[method])
        pairs = list(zip(known[:-1], known[1:], strict=True))
        if figure == "coverage":
            pairs += [pair for pair in SAME_FEATURES if set(pair) <= set(known)]
        for above, below in dict.fromkeys(pairs):
            mean, low, high = difference_interval(
                own[above], own[below], resamples=resamples, seed=seed
            )
            rows.append(
                {
                    "dataset": dataset,
                    "figure": figure,
                    "above": above,
                    "below": below,
                    "published": round(stated[above] - stated[below], 3),
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "holds": "yes" if low > 0 else "no" if high < 0 else "open",
                }
            )
    return rows
