"""Render `k8s/` from the chart: `python -m k8s.render`.

`k8s/base` is the chart with its own values, `k8s/overlays/NAME` what a profile changes of it, as
kustomize patches and further resources, and `k8s/pipelines` what Kubeflow's UI lists. With
`--values` and `--to` it makes an overlay of values of your own:

    python -m k8s.render --profile gke-a100 --values mine.yaml --to k8s/overlays/mine

What differs from the chart: the namespace is an object too; labels and annotations that only Helm
reads are gone, and hooks (`helm test`) with them; experiments are left out, for to apply an overlay
again would undo a ramp (`k8s/experiments`); the store's passwords are a Secret that you make.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from helm.chart import NAMESPACE, profiles, render

FOLDER = Path(__file__).parent
BASE, OVERLAYS, PIPELINES = FOLDER / "base", FOLDER / "overlays", FOLDER / "pipelines"
RELEASE_OVERLAY = "kubeflow-26.03"
"""The overlay that is no profile: the chart's own values for that Kubeflow."""
YOUR_BUCKET = {
    "storage": {
        "registry": "gs://your-bucket/registry",
        "exposures": "gs://your-bucket/exposures",
    }
}
"""What overlays for Google Cloud say where only you know the name."""

_NOTE = "# Rendered from helm/intent-store by `make manifests`: change the chart, not this file.\n"
_PIPELINES = ("Pipeline", "PipelineVersion")
_HELM = "helm.sh/"
_MANAGER = "app.kubernetes.io/managed-by"

Key = tuple[str, str, str, str]
Objects = dict[Key, tuple[str, dict[str, Any]]]
"""By apiVersion, kind, namespace and name: the template's name, and the object."""


def objects(values: Mapping[str, Any] | None = None, *, profile: str = "") -> Objects:
    """Return what `k8s/` says of some values.

    Args:
        values: that differ from the chart's own, and from the profile's.
        profile: whose values are taken; "" for none.

    Raises:
        ValueError: the chart refuses the values.
    """
    found = {_key(namespace()): ("namespace", namespace())}
    for each in render(values, profile=profile):
        if each.object["kind"] == "Experiment" or _is_hook(each.object):
            continue
        plain = without_helm(each.object)
        found[_key(plain)] = (each.source, plain)
    return found


def namespace() -> dict[str, Any]:
    """The namespace, where pods that ask for more than they should are told so."""
    level = "pod-security.kubernetes.io"
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {
                "app.kubernetes.io/part-of": "intent-store",
                f"{level}/enforce": "baseline",
                f"{level}/warn": "restricted",
            },
        },
    }


def without_helm(value: Any) -> Any:
    """Take labels and annotations out that only Helm reads, at any depth."""
    if isinstance(value, list):
        return [without_helm(each) for each in value]
    if not isinstance(value, dict):
        return value
    plain = {}
    for name, each in value.items():
        if name.startswith(_HELM):
            continue
        if name == _MANAGER:
            plain[name] = "kustomize"
        elif not (name == "annotations" and isinstance(each, dict) and _only_helms(each)):
            plain[name] = without_helm(each)
    return plain


def pipelines() -> Objects:
    """Return the resources that put our pipelines into Kubeflow's UI."""
    return _pipelines_of(_own_values(pipelines=True))


def variants() -> dict[str, tuple[Mapping[str, Any], str]]:
    """Name every overlay; give its values and its profile."""
    found: dict[str, tuple[Mapping[str, Any], str]] = {
        name: (YOUR_BUCKET if name.startswith("gke-") else {}, name) for name in profiles()
    }
    pinned = {"kubeflow": {"release": "26.03"}, "pipelines": {"install": True}}
    return found | {RELEASE_OVERLAY: (pinned, "")}


def write_base(folder: Path, content: Objects) -> None:
    """Write one file per template, and the kustomization."""
    _empty(folder)
    files = _write_resources(folder, content)
    _write_kustomization(folder, {"resources": files})


def write_overlay(folder: Path, content: Objects) -> None:
    """Write what turns the base, and the pipelines if there shall be any, into something else.

    Args:
        folder: of the overlay; what it holds is replaced.
        content: what the overlay shall say.
    """
    _empty(folder)
    base, below = _own_values(), [BASE]
    if _pipelines_of(content):
        base, below = base | pipelines(), [BASE, PIPELINES]
    new = {key: value for key, value in content.items() if key not in base}
    files = _write_resources(folder, new)
    patches = []
    for key, (_, old) in base.items():
        target = _target(key)
        if key not in content:
            patches.append({"target": target, "patch": _text([_deletion(old)])})
        elif changes := list(_changes(old, content[key][1], "")):
            patches.append({"target": target, "patch": _text([changes])})
    up = [os.path.relpath(each, folder) for each in below]
    _write_kustomization(folder, {"resources": [*up, *files], "patches": patches})


def write_all() -> None:
    """Write everything that is rendered."""
    write_base(BASE, _own_values())
    _write_pipelines(PIPELINES, pipelines())
    for name, (values, profile) in variants().items():
        write_overlay(OVERLAYS / name, objects(values, profile=profile))


def main(arguments: Sequence[str] | None = None) -> int:
    """Render; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m k8s.render")
    parser.add_argument("--values", type=Path, help="your own values; needs --to")
    parser.add_argument("--profile", default="", choices=profiles(), help="they are given after")
    parser.add_argument("--to", type=Path, help="folder of the overlay to write")
    asked = parser.parse_args(arguments)
    try:
        if asked.to is None:
            write_all()
            return 0
        values = yaml.safe_load(asked.values.read_text()) if asked.values else None
        write_overlay(asked.to, objects(values, profile=asked.profile))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


@cache
def _own_values(*, pipelines: bool = False) -> Objects:
    return objects({"pipelines": {"install": True}} if pipelines else None)


def _key(manifest: Mapping[str, Any]) -> Key:
    about = manifest["metadata"]
    return manifest["apiVersion"], manifest["kind"], about.get("namespace", ""), about["name"]


def _pipelines_of(content: Objects) -> Objects:
    return {key: each for key, each in content.items() if key[1] in _PIPELINES}


def _is_hook(manifest: Mapping[str, Any]) -> bool:
    return "helm.sh/hook" in manifest["metadata"].get("annotations", {})


def _only_helms(annotations: Mapping[str, Any]) -> bool:
    return all(name.startswith(_HELM) for name in annotations)


def _changes(old: Any, new: Any, path: str) -> Iterator[dict[str, Any]]:
    """Give the operations of a JSON patch (RFC 6902)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old:
            place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            if name not in new:
                yield {"op": "remove", "path": place}
            else:
                yield from _changes(old[name], new[name], place)
        for name in new:
            if name not in old:
                place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
                yield {"op": "add", "path": place, "value": new[name]}
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _changes(before, after, f"{path}/{number}")
    elif old != new or type(old) is not type(new):
        yield {"op": "replace", "path": path, "value": new}


def _deletion(manifest: Mapping[str, Any]) -> dict[str, Any]:
    about = {k: manifest["metadata"][k] for k in ("name", "namespace") if k in manifest["metadata"]}
    kind = {name: manifest[name] for name in ("apiVersion", "kind")}
    return {"$patch": "delete", **kind, "metadata": about}


def _target(key: Key) -> dict[str, str]:
    group, _, version = key[0].rpartition("/")
    found = {"group": group, "version": version, "kind": key[1], "namespace": key[2]}
    return {name: value for name, value in found.items() if value} | {"name": key[3]}


def _empty(folder: Path) -> None:
    """Remove what was rendered into a folder before."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _write_resources(folder: Path, content: Objects) -> list[str]:
    by_source: dict[str, list[dict[str, Any]]] = {}
    for source, manifest in content.values():
        by_source.setdefault(source, []).append(manifest)
    for source, manifests in by_source.items():
        file = folder / f"{source}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(_NOTE + _text(manifests))
    return [f"{source}.yaml" for source in sorted(by_source)]


def _write_pipelines(folder: Path, content: Objects) -> None:
    """Write one file per object: they are long."""
    _empty(folder)
    names = []
    for (_, kind, _, name), (_, manifest) in content.items():
        names.append(f"{name}-{kind.lower()}.yaml")
        (folder / names[-1]).write_text(_NOTE + _text([manifest]))
    _write_kustomization(folder, {"resources": sorted(names)})


def _write_kustomization(folder: Path, content: Mapping[str, Any]) -> None:
    about = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    filled = {name: value for name, value in content.items() if value}
    (folder / "kustomization.yaml").write_text(_NOTE + _text([about | filled]))


def _text(documents: Iterable[Any]) -> str:
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


class _Dumper(yaml.CSafeDumper):
    """Writes texts of several lines as such, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


if __name__ == "__main__":
    sys.exit(main())
