"""What is measured of a variant, per request that it answered or per unit that it has."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a variant: a sum over its units, divided by their requests or their number.

    Attributes:
        name: as guardrails write it.
        per: what the sum is divided by.
        outcome: metric of the outcomes that are summed; None for what exposures say themselves.
        more_is_better: which direction is good.
        title: for people.
    """

    name: str
    per: Literal["request", "unit"]
    outcome: str | None
    more_is_better: bool
    title: str


CTR = Metric("ctr", "request", "click", True, "clicks per request")
ERRORS = Metric("errors", "request", None, False, "requests that failed")
FALLBACKS = Metric("fallbacks", "request", None, False, "requests that fell back")
SECONDS = Metric("seconds", "request", None, False, "seconds per request")

OF_REQUESTS = (CTR, ERRORS, FALLBACKS, SECONDS)
OPERATIONAL = (ERRORS, FALLBACKS, SECONDS)

_TITLES = {"apply": "applies per unit", "pch": "PCH per unit"}


def metric(name: str) -> Metric:
    """Give the metric of a name: one of OF_REQUESTS, or any outcome's sum per unit."""
    for known in OF_REQUESTS:
        if known.name == name:
            return known
    return Metric(name, "unit", name, True, _TITLES.get(name, f"{name} per unit"))
