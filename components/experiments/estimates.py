"""A metric of two variants compared: unit by unit, epoch by epoch, with less variance by CUPED."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.experiments.cells import Cells
from components.experiments.metrics import Metric

LEAST_UNITS = 30
LEAST_HITS = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """What can be said of a treatment against control.

    Attributes:
        mean: of the treatment, weighed over epochs.
        control_mean: of control, weighed over epochs in the same way.
        lift: mean / control_mean - 1.
        lift_error: standard error of the lift.
        null_error: standard error of the difference over control_mean: that of the lift were
            there none, which tests use.
        mean_error: standard error of the mean.
        units: of the treatment, in epochs that count.
        reduction: share of the difference's variance that the pre-period explains.
        enough: whether there are units and events enough for a normal approximation.
    """

    mean: float
    control_mean: float
    lift: float
    lift_error: float
    null_error: float
    mean_error: float
    units: int
    reduction: float
    enough: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """One epoch of one variant: what each unit adds to the ratio, and who it is."""

    ratio: float
    units: NDArray[np.int64]
    parts: NDArray[np.float64]
    weight: float


def compare(
    cells: Cells,
    metric: Metric,
    treatment: str,
    control: str,
    *,
    before: NDArray[np.float64] | None = None,
    cautious: bool = False,
) -> Estimate | None:
    """Compare a treatment with control.

    Percentages change from epoch to epoch and so may everything else (weekdays, seasons): variants
    are compared within an epoch, and the epochs weighed by how much each can tell, the same for
    both. A ratio's variance comes from its linearised parts per unit (the delta method); a unit
    that was in several epochs, even in different arms after a ramp, counts as one.

    Args:
        cells: from `cells.gather`.
        metric: to compare, one of those gathered.
        treatment: name of the variant.
        control: name of the control.
        before: float64 [units, k], what is known of each unit from before the experiment.
        cautious: take the larger of both variants' variance for both, for decisions on few events:
            a variant that got no click yet seems to have no variance.

    Returns:
        None when no epoch has LEAST_UNITS of both, or control has none of what is counted.

    Source: Deng, Knoblich, Lu: Applying the delta method in metric analytics, KDD 2018. Deng, Xu,
    Kohavi, Walker: Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data (CUPED), WSDM 2013.
    """
    pairs = [
        (ours, theirs)
        for epoch in range(len(cells.epochs))
        if (ours := _part(cells, metric, treatment, epoch)) is not None
        and (theirs := _part(cells, metric, control, epoch)) is not None
    ]
    if not pairs:
        return None
    raw = _weighed(pairs, len(cells.units), cautious)
    adjusted, reduction = raw, 0.0
    if before is not None and before.size:
        pairs = _explained(pairs, before)
        adjusted = _weighed(pairs, len(cells.units), cautious)
        if raw.variance > 0:
            reduction = max(0.0, 1 - adjusted.variance / raw.variance)
    if adjusted.control <= 0:
        return None
    hits = sum(
        int((cells.numerator(metric)[cells.variant == cells.variants.index(v)] != 0).sum())
        for v in (treatment, control)
    )
    return Estimate(
        mean=adjusted.ours,
        control_mean=adjusted.control,
        lift=adjusted.ours / adjusted.control - 1,
        lift_error=adjusted.lift_error,
        null_error=float(np.sqrt(adjusted.variance)) / adjusted.control,
        mean_error=adjusted.own_error,
        units=len(np.unique(np.concatenate([ours.units for ours, _ in pairs]))),
        reduction=float(reduction),
        enough=hits >= LEAST_HITS,
    )


def mean_of(cells: Cells, metric: Metric, variant: str) -> tuple[float, float]:
    """Give a variant's plain mean over everything it answered, and its standard error.

    Both are 0 without any unit; the error of a single unit is infinite.
    """
    own = cells.variant == cells.variants.index(variant)
    above, below = cells.numerator(metric)[own], cells.denominator(metric)[own]
    if not len(above):
        return 0.0, 0.0
    ratio = float(above.sum() / below.sum())
    return ratio, float(np.sqrt((_parts(above, below) ** 2).sum()) / len(above))


def _part(cells: Cells, metric: Metric, variant: str, epoch: int) -> _Part | None:
    own = (cells.variant == cells.variants.index(variant)) & (cells.epoch == epoch)
    count = int(own.sum())
    if count < LEAST_UNITS:
        return None
    above, below = cells.numerator(metric)[own], cells.denominator(metric)[own]
    ratio, total = float(above.sum() / below.sum()), float(below.sum())
    return _Part(ratio, cells.unit[own], _parts(above, below), total)


def _parts(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linearise sum(above) / sum(below): the mean of these has the ratio's variance, [n]."""
    if len(above) == 1:
        return np.array([np.inf])
    correction = np.sqrt(len(above) / (len(above) - 1))
    return (above - above.sum() / below.sum() * below) / below.mean() * correction


@dataclass(frozen=True, slots=True)
class _Weighed:
    ours: float
    control: float
    variance: float
    own_error: float
    lift_error: float


def _weighed(pairs: list[tuple[_Part, _Part]], units: int, cautious: bool) -> _Weighed:
    tells = np.array([a.weight * b.weight / (a.weight + b.weight) for a, b in pairs])
    shares = tells / tells.sum()
    ours, control = (
        float(sum(share * pair[side].ratio for share, pair in zip(shares, pairs, strict=True)))
        for side in (0, 1)
    )
    # What each unit adds to each variant's weighed mean.
    added = np.zeros((2, units))
    for share, pair in zip(shares, pairs, strict=True):
        spread = [part.parts.std() for part in pair]
        for side, part in enumerate(pair):
            parts = part.parts
            if cautious and spread[side] < spread[1 - side]:
                parts = np.full(len(parts), spread[1 - side])
            added[side] += np.bincount(part.units, share * parts / len(parts), units)
    (a, ab), (_, b) = np.einsum("su,tu->st", added, added)
    if cautious:
        ab = 0.0
    ratio = ours / control if control else 0.0
    lift = (a + ratio**2 * b - 2 * ratio * ab) / control**2 if control else 0.0
    return _Weighed(
        ours=ours,
        control=control,
        variance=float(a + b - 2 * ab),
        own_error=float(np.sqrt(a)),
        lift_error=float(np.sqrt(max(0.0, lift))),
    )


def _explained(
    pairs: list[tuple[_Part, _Part]], before: NDArray[np.float64]
) -> list[tuple[_Part, _Part]]:
    """Take out of every unit's part what the time before explains, by one regression for all."""
    flat = [part for pair in pairs for part in pair]
    centred = [before[part.units] - before[part.units].mean(axis=0) for part in flat]
    slope, _, rank, _ = np.linalg.lstsq(
        np.concatenate(centred), np.concatenate([part.parts for part in flat]), rcond=None
    )
    count = sum(len(part.parts) for part in flat)
    correction = np.sqrt(count / (count - rank))  # a regression explains some noise as well

    def adjusted(part: _Part, everybody: NDArray[np.float64]) -> _Part:
        mean = before[part.units].mean(axis=0)
        return _Part(
            ratio=part.ratio - float((mean - everybody) @ slope),
            units=part.units,
            parts=(part.parts - (before[part.units] - mean) @ slope) * correction,
            weight=part.weight,
        )

    found = []
    for ours, theirs in pairs:
        everybody = before[np.concatenate([ours.units, theirs.units])].mean(axis=0)
        found.append((adjusted(ours, everybody), adjusted(theirs, everybody)))
    return found
