"""Adding variants to the experiments of their service, at 0%: a person ramps them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.experiments.errors import Taken
from components.experiments.places import Folder, Place
from components.variants.errors import VariantError
from components.variants.package import About


def enrol(
    experiments: Path | Place,
    variants: Sequence[About],
    *,
    experiment: str | None = None,
    dry_run: bool = False,
) -> list[str]:
    """Add variants to their service's experiment, those that are in none.

    A service without an experiment gets one, named after it, whose control is the first of its
    variants. A variant that is enrolled already is left as it is, at whatever percentage.

    Args:
        experiments: directory of manifests, which is made when missing, or another place.
        variants: packages' descriptions, the control of a new experiment first.
        experiment: to add them to; needed where a service has several.
        dry_run: check everything and change nothing.

    Returns:
        One line per change, as a person would be told.

    Raises:
        VariantError: a service has several experiments and none is named.
        ExperimentsError: there is no such experiment, or it cannot take one more treatment.
        ClusterError: the cluster refuses it.
    """
    if isinstance(experiments, Path):
        experiments = Folder(experiments, may_be_missing=True)
    told = []
    for service in dict.fromkeys(about.service for about in variants):
        own = [about for about in variants if about.service == service]
        try:
            told += _enrol(experiments, service, own, experiment, dry_run)
        except Taken as taken:
            # Somebody else may have begun it just now: then these join it.
            if not experiments.load().of(service):
                raise VariantError(f"{taken}, but holds no valid experiment of {service}") from None
            told += _enrol(experiments, service, own, experiment, dry_run)
    return told


def _enrol(
    place: Place, service: str, variants: Sequence[About], name: str | None, dry_run: bool
) -> list[str]:
    own = place.load().of(service)
    enrolled = {variant.service for e in own for variant in e.variants}
    new = [about for about in variants if about.model not in enrolled]
    if not new:
        return []
    if not own and name is None:
        place.begin(_beginning(service, new), dry_run=dry_run)
        where = place.where(service)
        return [f"{where}: {new[0].name} answers, others at 0%: {_names(new[1:])}"]
    if name is None and len(own) > 1:
        raise VariantError(
            f"{service} has several experiments, say which takes {_names(new)}: "
            + ", ".join(e.name for e in own)
        )
    chosen = name or own[0].name
    where = place.where(chosen)
    for about in new:
        place.add_variant(chosen, about.name, about.model, dry_run=dry_run)
    return [f"{where}: added at 0%: {_names(new)}"]


def _beginning(service: str, variants: Sequence[About]) -> dict[str, Any]:
    control, *treatments = variants
    lane = {"limit": 100 // len(treatments)} if len(treatments) > 2 else {}
    return {
        "apiVersion": "intent-store.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": service},
        "spec": {
            "service": service,
            "salt": f"{service}-1",
            "control": control.name,
            "variants": [
                {"name": control.name, "inferenceService": control.model},
                *(
                    {"name": about.name, "inferenceService": about.model, "percent": 0, **lane}
                    for about in treatments
                ),
            ],
        },
    }


def _names(variants: Sequence[About]) -> str:
    return ", ".join(about.name for about in variants) or "none"
