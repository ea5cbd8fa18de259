"""Manifests for the tests of this room."""

from collections.abc import Mapping
from typing import Any

from components.experiments.manifest import Experiment, parse


def document(
    percents: Mapping[str, float] | None = None,
    *,
    name: str = "colours",
    limits: Mapping[str, float] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A manifest with a control named "control" and a treatment per item of `percents`."""
    treatments = {"blue": 10.0} if percents is None else percents
    variants: list[dict[str, Any]] = [{"name": "control", "inferenceService": "ranker-control"}]
    for treatment, percent in treatments.items():
        variant = {"name": treatment, "inferenceService": f"ranker-{treatment}", "percent": percent}
        if treatment in (limits or {}):
            variant["limit"] = (limits or {})[treatment]
        variants.append(variant)
    return {
        "apiVersion": "intent-store.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {
            "service": "ranker",
            "salt": name,
            "control": "control",
            "variants": variants,
            **spec,
        },
    }


def experiment(percents: Mapping[str, float] | None = None, **rest: Any) -> Experiment:
    return parse(document(percents, **rest), source="colours.yaml")
