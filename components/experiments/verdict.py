"""One plain sentence about an experiment, for somebody who decides."""

from collections.abc import Sequence

from components.experiments.guardrails import Trip
from components.experiments.manifest import Experiment
from components.experiments.metrics import Metric
from components.experiments.ratios import Epoch
from components.experiments.result import Comparison


def sentence(
    experiment: Experiment,
    primary: Metric,
    comparisons: Sequence[Comparison],
    epochs: Sequence[Epoch],
    trips: Sequence[Trip],
) -> str:
    """Say what to make of an experiment, the gravest thing first.

    A split that cannot be chance comes before everything, because then no figure means anything;
    then a broken guardrail; then what the primary metric shows for sure, by the intervals that
    hold for all looks; then that it shows nothing yet.
    """
    broken = [epoch for epoch in epochs if epoch.mismatch]
    if broken:
        return _mismatch(broken[0])
    if trips:
        trip = trips[0]
        doing = "is to be stopped" if trip.action == "stop" else "breaks a guardrail"
        return f"{trip.variant} {doing}: {trip.reason.removeprefix(f'{trip.variant}: ')}."
    own = [c for c in comparisons if c.metric == primary.name]
    if not own:
        units = "no treatment has units enough beside control's"
        return f"Nothing can be said yet: {units}."
    sign = 1 if primary.more_is_better else -1
    better = [c for c in own if c.enough and min(c.always_low * sign, c.always_high * sign) > 0]
    worse = [c for c in own if c.enough and max(c.always_low * sign, c.always_high * sign) < 0]
    control = experiment.control
    if better:
        best = max(better, key=lambda c: c.lift * sign)
        also = "".join(f"; {c.variant} is better too" for c in better if c is not best)
        lost = "".join(f"; {c.variant} is worse" for c in worse)
        return f"{best.variant} is better than {control}: {_said(best, primary)}{also}{lost}."
    if worse:
        worst = min(worse, key=lambda c: c.lift * sign)
        return f"{worst.variant} is worse than {control}: {_said(worst, primary)}."
    few = [c for c in own if not c.enough]
    if len(few) == len(own):
        return f"Too little has happened to tell: count on more {primary.title}."
    likely = max((c for c in own if c.enough), key=lambda c: abs(c.lift))
    return f"No difference from {control} is sure: {likely.variant} {_said(likely, primary)}."


def _said(comparison: Comparison, primary: Metric) -> str:
    return (
        f"{primary.title} {comparison.lift:+.1%} "
        f"({comparison.always_low:+.1%} to {comparison.always_high:+.1%} at any time)"
    )


def _mismatch(epoch: Epoch) -> str:
    shares, total = epoch.shares or {}, sum(epoch.units.values())
    worst = max(shares, key=lambda v: abs(epoch.units.get(v, 0) - shares[v] / 100 * total))
    return (
        f"Trust no figure: at revision {epoch.revision} {worst} has {epoch.units.get(worst, 0):,} "
        f"units of {total:,} where {shares[worst]:g} % are due (p = {epoch.p:.1g}); find what "
        "loses or adds units first."
    )
