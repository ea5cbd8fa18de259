"""Adding variants to the experiments of their service, at 0%: a person ramps them."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from components.experiments.edit import add_variant, find_manifest
from components.experiments.experiments import load_experiments
from components.experiments.manifest import parse_text
from components.files import whole_file
from components.variants.errors import VariantError
from components.variants.package import About


def enrol(
    experiments: Path, variants: Sequence[About], *, experiment: str | None = None
) -> list[str]:
    """Add variants to their service's experiment, those that are in none.

    A service without an experiment gets one, `<service>.yaml`, whose control is the first of its
    variants.

    Args:
        experiments: directory of manifests; it is made when missing.
        variants: packages' descriptions, the control of a new experiment first.
        experiment: to add them to; needed where a service has several.

    Returns:
        One line per change, as a person would be told.

    Raises:
        VariantError: a service has several experiments and none is named.
        ExperimentsError: there is no such experiment, or it cannot take one more treatment.
    """
    experiments.mkdir(parents=True, exist_ok=True)
    told = []
    for service in dict.fromkeys(about.service for about in variants):
        known = load_experiments(experiments)
        own = known.of(service)
        enrolled = {variant.service for e in own for variant in e.variants}
        new = [a for a in variants if a.service == service and a.model not in enrolled]
        if not new:
            continue
        if not own and experiment is None:
            path = experiments / f"{service}.yaml"
            _begin(path, service, new)
            told.append(f"{path}: {new[0].name} answers, others at 0%: {_names(new[1:])}")
            continue
        if experiment is None and len(own) > 1:
            raise VariantError(
                f"{service} has several experiments, say which takes {_names(new)}: "
                + ", ".join(e.name for e in own)
            )
        path = find_manifest(experiments, experiment or own[0].name)
        for about in new:
            add_variant(path, about.name, about.model)
        told.append(f"{path}: added at 0%: {_names(new)}")
    return told


def _begin(path: Path, service: str, variants: Sequence[About]) -> None:
    if path.exists():
        raise VariantError(f"{path}: is there, but holds no valid experiment of {service}")
    control, *treatments = variants
    lane = {"limit": 100 // len(treatments)} if len(treatments) > 2 else {}
    manifest = {
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
    text = yaml.safe_dump(manifest, sort_keys=False)
    parse_text(text, source=str(path))
    with whole_file(path) as aside:
        aside.write_text(text)


def _names(variants: Sequence[About]) -> str:
    return ", ".join(about.name for about in variants) or "none"
