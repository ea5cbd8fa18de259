"""Putting a variant's InferenceService where it comes to run: on a cluster, or into a repository.

On a cluster it is applied on the server's side, so it owns what it says and nothing else: replicas
and resources that a person or an autoscaler sets stay. Who owns a field that a new version must
change, such as a GitOps tool that applied its `storageUri`, is named and not overruled.

In a repository (`--manifests`) the same changes are written into files that a person commits:

    inferenceservices/<model>.yaml
    experiments/<experiment>.yaml
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from components.cluster.apply import apply, find
from components.cluster.client import INFERENCE_SERVICE
from components.cluster.errors import Conflict
from components.files import whole_file
from components.variants.errors import VariantError
from components.variants.inference_service import GROUP, inference_service, manifest_of
from components.variants.package import About

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MANAGER = "intent-store-registrar"
"""Who registers, as a cluster records it."""

INFERENCE_SERVICES, EXPERIMENTS = "inferenceservices", "experiments"
"""Folders of a repository's manifests."""

# What tells one version of a variant from another.
_VERSIONED = (
    ("metadata", "annotations", f"{GROUP}/version"),
    ("metadata", "annotations", f"{GROUP}/encoder"),
    ("spec", "predictor", "model", "storageUri"),
)


def deploy(
    api: "ApiClient", namespace: str, about: About, uri: str, *, dry_run: bool = False
) -> list[str]:
    """Apply a variant's InferenceService.

    Args:
        api: from `components.cluster.client.connect`.
        namespace: to apply it in.
        about: the variant.
        uri: where its package lies.
        dry_run: have the API server check everything and keep nothing.

    Returns:
        One line per change, as a person would be told; none where nothing changes.

    Raises:
        Conflict: somebody else owns a field that must change.
        ClusterError: the API server refuses it.
    """
    there = find(api, INFERENCE_SERVICE, about.model, namespace=namespace)
    where = f"InferenceService {namespace}/{about.model}"
    try:
        now = apply(
            api, manifest_of(about, uri), namespace=namespace, manager=MANAGER, dry_run=dry_run
        )
    except Conflict as error:
        raise Conflict(
            f"{error}; where a repository says what runs here, register with --manifests and "
            "commit what it writes"
        ) from error
    if there is None:
        return [f"{where}: created, version {about.version}"]
    changes = _differences(there.get("spec"), now.get("spec"))
    return [f"{where}: {change}" for change in changes]


def write_manifest(folder: Path, about: About, uri: str, *, dry_run: bool = False) -> list[str]:
    """Write a variant's InferenceService into a repository, or its new version into the file.

    Args:
        folder: of the repository's manifests.
        about: the variant.
        uri: where its package lies.
        dry_run: check everything and write nothing.

    Returns:
        One line per change, as a person would be told; none where nothing changes.

    Raises:
        VariantError: the file is not such a manifest, or is laid out so that the version cannot
            be put in.
    """
    path = folder / INFERENCE_SERVICES / f"{about.model}.yaml"
    text = inference_service(about, uri)
    if not path.exists():
        told = f"{path}: written, version {about.version}"
    else:
        before = path.read_text(encoding="utf-8")
        text = _with_version(before, yaml.safe_load(text), path)
        if text == before:
            return []
        told = f"{path}: now version {about.version}"
    if not dry_run:
        with whole_file(path) as aside:
            aside.write_text(text, encoding="utf-8")
    return [told]


def _with_version(text: str, wanted: Mapping[str, Any], path: Path) -> str:
    """Put the values that tell a version into a manifest's text, and leave the rest as it is."""
    try:
        content, root = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise VariantError(f"{path}: cannot be read as YAML: {error}") from error
    expected = copy.deepcopy(content)
    places = []
    for field in _VERSIONED:
        value = _at(wanted, field)
        node = _node(root, field)
        if value is None and node is None:
            continue
        if value is None or node is None:
            raise VariantError(f"{path}: {'.'.join(field)}: must be edited by hand: {value}")
        _at(expected, field[:-1])[field[-1]] = value
        places.append((node.start_mark.index, node.end_mark.index, value))
    for start, end, value in sorted(places, reverse=True):
        text = text[:start] + yaml.safe_dump(value).removesuffix("...\n").strip() + text[end:]
    if yaml.safe_load(text) != expected:
        raise VariantError(f"{path}: is laid out so that it must be edited by hand")
    return text


def _at(content: Any, field: Sequence[str]) -> Any:
    for key in field:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _node(node: yaml.Node | None, field: Sequence[str]) -> yaml.Node | None:
    for key in field:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for name, value in node.value if name.value == key), None)
    return node


def _differences(old: Any, new: Any, field: str = "spec") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(old.keys() | new.keys())
        return [
            d for key in keys for d in _differences(old.get(key), new.get(key), f"{field}.{key}")
        ]
    return [] if old == new else [f"{field}: {old} is now {new}"]
