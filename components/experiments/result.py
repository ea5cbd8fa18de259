"""The result of an analysis, as it is written, drawn and read again."""

from dataclasses import dataclass

from components.experiments.guardrails import Trip
from components.experiments.ratios import Epoch


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """What a variant did, as counted.

    Attributes:
        variant: its name.
        units: distinct ones.
        requests: answered to them.
        means: each metric's mean by its name.
    """

    variant: str
    units: int
    requests: int
    means: dict[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric of a treatment against control; lifts are shares of control's mean.

    Attributes:
        variant: the treatment.
        metric: its name.
        mean: of the treatment, epochs weighed as for the comparison.
        control_mean: of control, likewise.
        lift: relative difference.
        low: of its 95 % interval, right for one look that was planned.
        high: of the same.
        p: of no difference, for one look.
        always_low: of the interval that holds for all looks and all treatments together.
        always_high: of the same.
        always_p: of no difference, for all looks and all treatments together.
        reduction: share of the variance that the pre-period explains.
        enough: whether there is enough to go by; if not, the figures say little.
    """

    variant: str
    metric: str
    mean: float
    control_mean: float
    lift: float
    low: float
    high: float
    p: float
    always_low: float
    always_high: float
    always_p: float
    reduction: float
    enough: bool


@dataclass(frozen=True, slots=True)
class Look:
    """The primary metric's comparison as it stood at a time."""

    variant: str
    ts: int
    lift: float
    always_low: float
    always_high: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """An experiment's result.

    Attributes:
        experiment: its name.
        service: whose requests were split.
        revision: of the manifest as it is now.
        control: name of the control.
        primary: name of the metric that the verdict goes by.
        first: time of the first exposure, UTC microseconds.
        last: time of the last.
        variants: what each did, control first.
        comparisons: every metric of every treatment.
        epochs: the test of the split, per revision.
        excluded: exposures that do not count, by their reason.
        trips: guardrails broken at the manifest's present revision.
        looks: how the primary metric's lift came about.
        verdict: one sentence.
    """

    experiment: str
    service: str
    revision: str
    control: str
    primary: str
    first: int
    last: int
    variants: list[VariantFigures]
    comparisons: list[Comparison]
    epochs: list[Epoch]
    excluded: dict[str, int]
    trips: list[Trip]
    looks: list[Look]
    verdict: str

    def of(self, variant: str, metric: str) -> Comparison:
        """Give one comparison; KeyError when there is none."""
        for comparison in self.comparisons:
            if (comparison.variant, comparison.metric) == (variant, metric):
                return comparison
        raise KeyError((variant, metric))
