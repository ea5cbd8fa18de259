"""The changes that are made to an experiment, as edits of its specification."""

import copy
from collections.abc import Callable
from typing import Any

from components.experiments.errors import ExperimentsError
from components.experiments.manifest import Experiment

Change = Callable[[dict[str, Any]], None]


def set_percent(variant: str, percent: float) -> Change:
    """Set the percentage of a treatment, which must be there."""

    def change(spec: dict[str, Any]) -> None:
        next(v for v in spec["variants"] if v["name"] == variant)["percent"] = percent

    return change


def stop(stopped: bool) -> Change:
    """Throw the kill switch, or take it back."""

    def change(spec: dict[str, Any]) -> None:
        spec["stopped"] = stopped

    return change


def append(fields: dict[str, Any]) -> Change:
    """Add a treatment after those there are."""

    def change(spec: dict[str, Any]) -> None:
        spec["variants"].append(fields)

    return change


def new_treatment(variant: str, inference_service: str) -> dict[str, Any]:
    """Give the fields of a treatment that answers nobody yet."""
    return {"name": variant, "inferenceService": inference_service, "percent": 0}


def changed(document: dict[str, Any], change: Change) -> dict[str, Any]:
    """Copy a manifest with a change made."""
    new = copy.deepcopy(document)
    change(new["spec"])
    return new


def must_be_treatment(experiment: Experiment, variant: str) -> None:
    """Check that a variant can be ramped.

    Raises:
        ExperimentsError: there is none, or it is the control.
    """
    if variant == experiment.control:
        raise ExperimentsError(
            f"{experiment.source}: {variant} is the control, it answers the rest: ramp another"
        )
    if variant not in experiment.by_name:
        there = ", ".join(v.name for v in experiment.treatments) or "none"
        raise ExperimentsError(f"{experiment.source}: no variant {variant}, there is {there}")
