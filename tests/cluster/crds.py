"""Custom resource definitions for the test cluster: Experiment's own, and our neighbours'.

The neighbours' real ones are used when a folder `shared/crds` lies beside the repository; else each
kind gets a definition that takes everything, so that whatever does not depend on their schemas is
tested all the same.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = _ROOT / "components/experiments/experiment.crd.yaml"
SHARED = _ROOT.parent / "shared" / "crds"
"""The real definitions: the newest releases, and those of Kubeflow 26.03 in a folder of theirs."""
RELEASES = ("newest", "26.03")
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
# Parts of pods and of InferenceServices that nothing of ours sets: most of those schemas' bulk.
_FRAMEWORKS = (
    *("sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface"),
    *("pmml", "lightgbm", "paddle"),
)
_UNUSED = frozenset(["affinity", "lifecycle", "explainer", "workerSpec", *_FRAMEWORKS])
_PATIENCE = 180  # seconds until a definition that is not established is given up


class Definition(NamedTuple):
    """A kind that the chart or the pipelines create, watch or are allowed to."""

    group: str
    plural: str
    kind: str
    versions: tuple[str, ...]
    scope: str = "Namespaced"

    @property
    def name(self) -> str:
        """The resource's full name, which is the definition's own."""
        return f"{self.plural}.{self.group}"


DEFINITIONS = (
    Definition("serving.kserve.io", "inferenceservices", "InferenceService", ("v1beta1",)),
    Definition("serving.kserve.io", "servingruntimes", "ServingRuntime", ("v1alpha1",)),
    Definition("trainer.kubeflow.org", "trainjobs", "TrainJob", ("v1alpha1",)),
    Definition("trainer.kubeflow.org", "trainingruntimes", "TrainingRuntime", ("v1alpha1",)),
    Definition("sparkoperator.k8s.io", "sparkapplications", "SparkApplication", ("v1beta2",)),
    Definition("pipelines.kubeflow.org", "pipelines", "Pipeline", ("v2beta1",)),
    Definition("pipelines.kubeflow.org", "pipelineversions", "PipelineVersion", ("v2beta1",)),
    Definition("monitoring.coreos.com", "servicemonitors", "ServiceMonitor", ("v1",)),
    Definition("monitoring.coreos.com", "podmonitors", "PodMonitor", ("v1",)),
    Definition("monitoring.coreos.com", "prometheusrules", "PrometheusRule", ("v1",)),
    Definition("keda.sh", "scaledobjects", "ScaledObject", ("v1alpha1",)),
    Definition("keda.sh", "triggerauthentications", "TriggerAuthentication", ("v1alpha1",)),
    Definition("networking.istio.io", "virtualservices", "VirtualService", ("v1", "v1beta1")),
    Definition("networking.istio.io", "destinationrules", "DestinationRule", ("v1", "v1beta1")),
    Definition("networking.istio.io", "gateways", "Gateway", ("v1", "v1beta1")),
    Definition("security.istio.io", "authorizationpolicies", "AuthorizationPolicy", ("v1",)),
    Definition("security.istio.io", "peerauthentications", "PeerAuthentication", ("v1",)),
    Definition("gateway.networking.k8s.io", "httproutes", "HTTPRoute", ("v1",)),
    Definition("gateway.networking.k8s.io", "grpcroutes", "GRPCRoute", ("v1",)),
    Definition("gateway.networking.k8s.io", "gateways", "Gateway", ("v1",)),
    Definition("kueue.x-k8s.io", "localqueues", "LocalQueue", ("v1beta1", "v1beta2")),
    Definition(
        "kueue.x-k8s.io", "clusterqueues", "ClusterQueue", ("v1beta1", "v1beta2"), "Cluster"
    ),
    Definition(
        "kueue.x-k8s.io", "resourceflavors", "ResourceFlavor", ("v1beta1", "v1beta2"), "Cluster"
    ),
)


def install_crds(api: "ApiClient", release: str, *, replace: bool = True) -> list[str]:
    """Install every definition, and wait until all are served.

    Args:
        api: an administrator's client.
        release: newest | 26.03; kinds that a release does not pin are of their newest.
        replace: whether a definition that is there already is replaced.

    Returns:
        Marks of what changed: `is_published` tells whether clients are told of it, too.
    """
    if release not in RELEASES:
        raise ValueError(f"release {release!r}: choose from {', '.join(RELEASES)}")
    from kubernetes import client

    extensions = client.ApiextensionsV1Api(api)
    there = {
        each.metadata.name: each for each in extensions.list_custom_resource_definition().items
    }
    changed = []
    for manifest in _manifests(release):
        known = there.get(manifest["metadata"]["name"])
        mark = _mark(manifest)
        if known is not None and mark == _known_mark(known):
            continue
        if known is None:
            extensions.create_custom_resource_definition(manifest)
        elif replace:
            manifest["metadata"]["resourceVersion"] = known.metadata.resource_version
            extensions.replace_custom_resource_definition(known.metadata.name, manifest)
        else:
            continue
        changed.append(mark)
    _wait_until_established(extensions)
    return changed


def is_published(api: "ApiClient", marks: list[str]) -> bool:
    """Say whether the schemas that clients check manifests with are those of these marks."""
    published = api.call_api(
        "/openapi/v2", "GET", auth_settings=["BearerToken"], _preload_content=False
    )[0].data
    return all(mark.encode() in published for mark in marks)


def has_real_schemas() -> bool:
    """Say whether the neighbours' own schemas are installed, or ones that take everything."""
    return SHARED.is_dir()


def _mark(manifest: dict) -> str:
    """Describe a definition by its digest, which the server publishes with its schema."""
    mark = f"test-{hashlib.sha256(json.dumps(manifest).encode()).hexdigest()[:32]}"
    for version in manifest["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"]["description"] = mark
    return mark


def _known_mark(definition: Any) -> str | None:
    return definition.spec.versions[0].schema.open_apiv3_schema.description


def _manifests(release: str) -> Iterator[dict]:
    yield fit(yaml.safe_load(EXPERIMENT.read_text()))
    for definition in DEFINITIONS:
        file = f"{definition.group}_{definition.plural}.yaml"
        places = [SHARED / f"kubeflow-{release}" / file, SHARED / file]
        real = next((place for place in places if place.is_file()), None)
        yield fit(_load(real)) if real else _permissive(definition)


def _load(path: Path) -> dict:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(), Loader=loader)


def _permissive(definition: Definition) -> dict:
    # Not open at its root: the server publishes nothing of such a schema.
    schema = {"type": "object", "properties": {"spec": _ANYTHING, "status": _ANYTHING}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": definition.name,
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests only"},
        },
        "spec": {
            "group": definition.group,
            "scope": definition.scope,
            "names": {
                "kind": definition.kind,
                "listKind": f"{definition.kind}List",
                "plural": definition.plural,
                "singular": definition.kind.lower(),
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == definition.versions[0],
                    "schema": {"openAPIV3Schema": dict(schema)},
                    "subresources": {"status": {}},
                }
                for version in definition.versions
            ],
        },
    }


def fit(manifest: dict) -> dict:
    """Make a definition one that Kubernetes 1.20 takes, and return it.

    It knows neither CEL rules nor selectable fields, which it would drop in silence, and refuses
    some empty defaults. Descriptions, and fields that nothing of ours sets, only cost it time.
    """
    manifest.pop("status", None)
    for version in manifest["spec"]["versions"]:
        version.pop("selectableFields", None)
        version["schema"]["openAPIV3Schema"] = _fit_schema(version["schema"]["openAPIV3Schema"])
    return manifest


def _fit_schema(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    fitted = {
        field: value
        for field, value in schema.items()
        if field not in ("description", "x-kubernetes-validations")
        and not (field == "default" and value == "")
    }
    keys = schema.get("x-kubernetes-list-map-keys", [])
    members = schema.get("items", {}).get("properties", {})
    if any(members[key].get("default") == "" for key in keys):
        # A key needs its default, so this list becomes one that is replaced as a whole.
        fitted |= {"x-kubernetes-list-type": "atomic"}
        del fitted["x-kubernetes-list-map-keys"]
    for field in ("items", "additionalProperties", "not"):
        if field in fitted:
            fitted[field] = _fit_schema(fitted[field])
    for field in ("allOf", "anyOf", "oneOf"):
        if field in fitted:
            fitted[field] = [_fit_schema(each) for each in fitted[field]]
    if "properties" in fitted:
        fitted["properties"] = {
            name: _ANYTHING
            if name in _UNUSED and each.get("type") == "object"
            else _fit_schema(each)
            for name, each in fitted["properties"].items()
        }
    return fitted


def _wait_until_established(extensions: Any) -> None:
    end = time.monotonic() + _PATIENCE
    while waiting := [
        each.metadata.name
        for each in extensions.list_custom_resource_definition().items
        if not any(
            condition.type == "Established" and condition.status == "True"
            for condition in (each.status.conditions or [])
        )
    ]:
        if time.monotonic() > end:
            raise TimeoutError(f"not established after {_PATIENCE} s: {', '.join(waiting)}")
        time.sleep(0.2)
