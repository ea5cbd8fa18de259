"""Whether each epoch's units were split as the manifest says: the sample-ratio mismatch test."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.experiments.allocation import segments
from components.experiments.cells import Cells
from components.experiments.manifest import Experiment

# Far below 0.05: it is looked at every day, and a mismatch makes everything else worthless.
ALARM = 0.001
LEAST_EXPECTED = 5.0

OTHERS = "(nobody)"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One revision's units.

    Attributes:
        revision: of the manifest.
        first: time of its first exposure, UTC microseconds.
        last: time of its last.
        units: distinct ones of each variant.
        shares: percent that each should have; None when nobody knows the manifest of that time.
        p: of a split as uneven as this or more by chance; None when it was not tested.
        mismatch: whether the split cannot be chance.
    """

    revision: str
    first: int
    last: int
    units: dict[str, int]
    shares: dict[str, float] | None
    p: float | None
    mismatch: bool


def epochs(experiment: Experiment, drawn: pa.Table, cells: Cells) -> list[Epoch]:
    """Test every epoch.

    Args:
        experiment: its manifest as it is now.
        drawn: exposures, from `cells.drawn_exposures`.
        cells: of the same exposures.

    Source: Fabijan et al.: Diagnosing sample ratio mismatch in online controlled experiments, KDD
    2019 (a chi-square test on distinct units).
    """
    from scipy.stats import chisquare

    spans = drawn.group_by("revision").aggregate([("ts", "min"), ("ts", "max")]).to_pylist()
    span = {row["revision"]: (row["ts_min"], row["ts_max"]) for row in spans}
    found = []
    for place, revision in enumerate(cells.epochs):
        inside = cells.epoch == place
        counts = np.bincount(cells.variant[inside], minlength=len(cells.variants))
        units = {v: int(n) for v, n in zip(cells.variants, counts, strict=True) if n}
        shares = _shares(experiment, drawn, revision)
        p = None
        if shares is not None:
            # A variant of which nothing was ever logged shows in the shares that are missing.
            names = [name for name, share in shares.items() if share > 0]
            seen = np.array([units.get(name, 0) for name in names])
            due = np.array([shares[name] for name in names]) / 100 * seen.sum()
            if len(names) > 1 and due.min() >= LEAST_EXPECTED:
                p = float(chisquare(seen, due).pvalue)
        alarm = p is not None and p < ALARM / len(cells.epochs)
        found.append(Epoch(revision, *span[revision], units, shares, p, alarm))
    return found


def _shares(experiment: Experiment, drawn: pa.Table, revision: str) -> dict[str, float] | None:
    if revision == experiment.revision:
        shares: dict[str, float] = {}
        for width, variant in segments(experiment):
            shares[variant] = shares.get(variant, 0.0) + width
        return shares
    import pyarrow.compute as pc

    own = drawn.filter(pc.equal(drawn["revision"], revision))
    said = own.group_by("variant").aggregate([("percent", "max")]).to_pylist()
    if any(row["percent_max"] is None for row in said):
        return None
    shares = {row["variant"]: row["percent_max"] for row in said}
    rest = 100 - sum(shares.values())
    return {**shares, OTHERS: rest} if rest > 0.005 else shares
