"""The register of variants: what each is, where its package lies, what it was made from.

A registry is a folder or a bucket:

    packages/<model>/<version>/     the package, as model servers load it
    variants/<model>/<version>.json the record
    variants/<model>/<version>.yaml its InferenceService
    variants/<model>/index.json     versions, the newest last
"""

import json
import os
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import NamedTuple

from components.variants.errors import VariantError
from components.variants.inference_service import inference_service
from components.variants.package import About, open_package
from components.variants.places import Changed, Place, open_place

TRIES = 20
MODEL_REGISTRY = "MODEL_REGISTRY_ADDRESS"
"""Environment variable: address of a Kubeflow Model Registry, which is told as well when set."""


class Registered(NamedTuple):
    """A variant's place in the registry.

    Attributes:
        model: name of its InferenceService.
        version: of its package.
        uri: where the package lies.
        record: where the record lies.
        manifest: where the InferenceService lies.
        new: whether it was not registered before.
    """

    model: str
    version: str
    uri: str
    record: str
    manifest: str
    new: bool


def register(package: Path, registry: str) -> Registered:
    """Put a variant into the registry; registering the same again changes nothing.

    Args:
        package: its directory; every file of it is checked first.
        registry: a folder, or gs://bucket/prefix.

    Raises:
        VariantError: the package is damaged, or the registry cannot be written.
    """
    about = open_package(package).about
    place = open_place(registry)
    home = f"variants/{about.model}"
    content = f"packages/{about.model}/{about.version}"
    place.store(content, package)
    record = {
        **about.model_dump(mode="json", exclude={"files"}),
        "model": about.model,
        "uri": place.uri(content),
        "files": len(about.files),
        "bytes": sum(file.bytes for file in about.files.values()),
        "code": version_of("intent-store"),
        "registered_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    name = f"{home}/{about.version}"
    manifest = inference_service(about, place.uri(content))
    new = _create(place, f"{name}.json", json.dumps(record, indent=1) + "\n")
    _create(place, f"{name}.yaml", manifest)
    _add_version(place, f"{home}/index.json", about.version)
    if os.environ.get(MODEL_REGISTRY):
        from components.variants.kubeflow import tell_model_registry

        tell_model_registry(os.environ[MODEL_REGISTRY], record)
    return Registered(
        about.model,
        about.version,
        record["uri"],
        place.uri(f"{name}.json"),
        place.uri(f"{name}.yaml"),
        new,
    )


def package_uri(about: About, registry: str) -> str:
    """Tell where a package lies in a registry, or will lie."""
    return open_place(registry).uri(f"packages/{about.model}/{about.version}")


def versions(registry: str, model: str) -> list[dict]:
    """Return the records of a variant's versions, the newest last.

    Raises:
        VariantError: the registry holds no such variant.
    """
    place = open_place(registry)
    index = place.read(f"variants/{model}/index.json")
    if index is None:
        raise VariantError(f"{registry}: holds no variant {model}")
    records = [place.read(f"variants/{model}/{version}.json") for version in json.loads(index[0])]
    return [json.loads(record[0]) for record in records if record]


def _create(place: Place, name: str, text: str) -> bool:
    try:
        place.write(name, text.encode(), instead_of=None)
    except Changed:
        return False
    return True


def _add_version(place: Place, name: str, version: str) -> None:
    for _ in range(TRIES):
        there = place.read(name)
        known = json.loads(there[0]) if there else []
        if known and known[-1] == version:
            return
        known = [*(other for other in known if other != version), version]
        try:
            place.write(name, (json.dumps(known) + "\n").encode(), instead_of=there and there[1])
        except Changed:
            continue
        return
    raise VariantError(f"{place.uri(name)}: others kept changing it, {TRIES} times in a row")
