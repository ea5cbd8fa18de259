"""Our chart and manifests for the test cluster's Kubernetes, which is older than those they serve.

Only what that version cannot read is changed, in a copy: CEL rules of definitions go, and kinds
that it knows under a beta version alone are named so. The chart asks the cluster and needs no
more than the former.
"""

import shutil
from pathlib import Path

import yaml

from tests.cluster.crds import fit

_ROOT = Path(__file__).resolve().parents[2]
_CHART = _ROOT / "helm/intent-store"
_MANIFESTS = _ROOT / "k8s"
_OLD_VERSIONS = {
    "apiVersion: policy/v1\n": "apiVersion: policy/v1beta1\n",
    "apiVersion: autoscaling/v2\n": "apiVersion: autoscaling/v2beta2\n",
}


def copy_chart(target: Path) -> Path:
    """Copy the chart, and return where the copy lies."""
    shutil.copytree(_CHART, target)
    _fit_definition(target / "files/experiment.crd.yaml")
    return target


def copy_manifests(target: Path) -> Path:
    """Copy `k8s/` with its bases and overlays, and return where the copy lies."""
    shutil.copytree(_MANIFESTS, target)
    _fit_definition(target / "base/crd.yaml")
    for path in target.rglob("*.yaml"):
        text = path.read_text()
        for new, old in _OLD_VERSIONS.items():
            text = text.replace(new, old)
        path.write_text(text)
    return target


def _fit_definition(path: Path) -> None:
    definition = fit(yaml.safe_load(path.read_text()))
    path.write_text(yaml.safe_dump(definition, sort_keys=False))
