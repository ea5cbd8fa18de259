"""The chart and the manifests, installed as the docs say, on a real API server and scheduler."""

import base64
import json

import pytest
import yaml

from tests.cluster.access import CommandError
from tests.cluster.crds import EXPERIMENT, RELEASES
from tests.cluster.older import copy_chart, copy_manifests

pytestmark = pytest.mark.cluster

PROFILES = ("quickstart", "gke-v100", "gke-a100", "on-prem")
OVERLAYS = (*PROFILES, "kubeflow-26.03")
RELEASE = "intent-store"
OWN_VALUES = {
    "gke-v100": {"storage": {"registry": "gs://bucket/registry", "exposures": "gs://bucket/seen"}},
    "gke-a100": {"storage": {"registry": "gs://bucket/registry", "exposures": "gs://bucket/seen"}},
}
"""What a profile leaves to whoever installs it."""
OWN_SECRETS = {
    "on-prem": {
        "intent-store-redis": ("reader-password", "writer-password"),
        "redis-ca": ("ca.crt",),
        "registry": (".dockerconfigjson",),
    }
}
"""Secrets that a profile expects to be there, and their keys."""
VARIANTS = {
    "models": [
        {"service": "ranker", "variant": name, "storageUri": f"gs://bucket/ranker/{name}"}
        for name in ("first", "second")
    ],
    "experiments": [
        {
            "name": "ranker",
            "spec": {
                "service": "ranker",
                "salt": "ranker-1",
                "control": "first",
                "variants": [
                    {"name": "first", "inferenceService": "ranker-first"},
                    {"name": "second", "inferenceService": "ranker-second", "percent": 0},
                ],
            },
        }
    ],
}
WRONG = {
    "a typo": ("router.replica=2", "replica"),
    "a typo of a room": ("routr.replicas=2", "routr"),
    "an unknown profile": ("profile=gke-v1000", "profile"),
    "an unknown release": ("kubeflow.release=1.0", "kubeflow.release|release"),
    "a percentage of 120": ("experiments[0].spec.variants[1].percent=120", "percent"),
    "a number for a text": ("store.url=6379", "url"),
    "a bucket without a name": ("storage.registry=gs://", "registry"),
    "no Redis at all": ("redis.enabled=false", "store.url"),
}
"""Values that are wrong, as `--set` takes them, and what the refusal must name."""


@pytest.fixture(scope="module")
def chart(cluster, tmp_path_factory):
    """The chart, in a form that the cluster can read."""
    return copy_chart(tmp_path_factory.mktemp("chart") / "intent-store")


@pytest.fixture(scope="module")
def manifests(cluster, tmp_path_factory):
    """`k8s/`, in a form that the cluster can read."""
    return copy_manifests(tmp_path_factory.mktemp("manifests") / "k8s")


@pytest.fixture
def values(tmp_path):
    """Write a values file, and return helm's option for it."""

    def write(**values):
        path = tmp_path / "values.yaml"
        path.write_text(yaml.safe_dump(values))
        return f"--values={path}"

    return write


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kubeflow", RELEASES)
def test_a_profile_installs_and_no_change_of_the_release_loses_what_it_holds(
    own_cluster, namespace, chart, values, kubeflow, profile
):
    own_cluster.install_crds(kubeflow)
    make_secrets(own_cluster, namespace, profile)
    options = (
        *("--namespace", namespace, "--wait", "--timeout=5m"),
        f"--values={chart}/profiles/{profile}.yaml",
        *(f"--set-string=kubeflow.release={kubeflow}", "--set=crds.install=false"),
        values(**VARIANTS, **OWN_VALUES.get(profile, {})),
    )

    own_cluster.helm("install", RELEASE, str(chart), *options)
    assert not_ready(own_cluster, namespace) == []
    assert len(own_cluster.get("-n", namespace, "inferenceservices")["items"]) == 2
    assert percent(own_cluster, namespace) == 0
    ramp(own_cluster, namespace, to=20)
    before = held(own_cluster, namespace)
    own_cluster.helm("test", RELEASE, "--namespace", namespace)

    own_cluster.helm("upgrade", RELEASE, str(chart), *options, "--set=router.drainSeconds=7")
    assert drain(own_cluster, namespace) == "7"
    assert held(own_cluster, namespace) == before
    assert percent(own_cluster, namespace) == 20

    own_cluster.helm("rollback", RELEASE, "1", "--namespace", namespace, "--wait")
    assert drain(own_cluster, namespace) != "7"
    assert held(own_cluster, namespace) == before
    assert percent(own_cluster, namespace) == 20

    own_cluster.helm("uninstall", RELEASE, "--namespace", namespace, "--wait")
    assert own_cluster.get("-n", namespace, "deployments,statefulsets,services")["items"] == []
    assert held(own_cluster, namespace) == before
    assert percent(own_cluster, namespace) == 20


def test_a_release_that_is_installed_again_finds_what_it_left(
    own_cluster, namespace, chart, values
):
    own_cluster.install_crds()
    options = ("--namespace", namespace, "--set=crds.install=false", values(**VARIANTS))
    own_cluster.helm("install", RELEASE, str(chart), *options)
    ramp(own_cluster, namespace, to=20)
    before = {
        name: each for name, each in held(own_cluster, namespace).items() if "data" not in name
    }
    own_cluster.helm("uninstall", RELEASE, "--namespace", namespace, "--wait")
    own_cluster.helm("install", RELEASE, str(chart), *options, "--wait", "--timeout=5m")
    assert before.items() <= held(own_cluster, namespace).items()
    assert percent(own_cluster, namespace) == 20


def test_the_definition_of_experiments_comes_with_the_chart_and_outlives_it(
    own_cluster, namespace, chart, values
):
    own_cluster.install_crds()
    own_cluster.kubectl("delete", "-f", str(EXPERIMENT))
    options = ("--namespace", namespace, values(**VARIANTS))
    try:
        own_cluster.helm("install", RELEASE, str(chart), *options)
        assert percent(own_cluster, namespace) == 0
        own_cluster.helm("upgrade", RELEASE, str(chart), *options)
        own_cluster.helm("uninstall", RELEASE, "--namespace", namespace, "--wait")
        assert percent(own_cluster, namespace) == 0
    finally:
        own_cluster.kubectl("delete", "--ignore-not-found", "-f", str(EXPERIMENT))
        own_cluster.install_crds(again=True)


def test_a_dry_run_on_the_server_changes_nothing(cluster, namespace, chart, values):
    cluster.install_crds()
    before = everything(cluster, namespace)
    options = ("--namespace", namespace, "--dry-run=server", "--set=crds.install=false")
    shown = cluster.helm("install", RELEASE, str(chart), *options, values(**VARIANTS))
    assert "kind: Deployment" in shown
    assert everything(cluster, namespace) == before


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_are_refused_by_name_before_anything_is_applied(
    cluster, namespace, chart, values, wrong
):
    cluster.install_crds()
    setting, named = WRONG[wrong]
    before = everything(cluster, namespace)
    options = ("--namespace", namespace, "--set=crds.install=false", f"--set={setting}")
    with pytest.raises(CommandError, match=named):
        cluster.helm("install", RELEASE, str(chart), *options, values(**VARIANTS))
    assert everything(cluster, namespace) == before


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_applies_and_applying_it_again_changes_nothing(own_cluster, manifests, overlay):
    own_cluster.install_crds("26.03" if overlay.endswith("26.03") else "newest")
    own_cluster.kubectl("create", "namespace", RELEASE)
    folder = manifests / "overlays" / overlay
    apply = ("apply", "--kustomize", str(folder))
    try:
        own_cluster.wait_for_account(RELEASE)
        make_secrets(own_cluster, RELEASE, overlay)
        # Definitions are there already, and another than kubectl keeps them.
        own_cluster.kubectl(*apply, "--server-side", "--force-conflicts", "--dry-run=server")
        own_cluster.kubectl(*apply)
        own_cluster.kubectl(
            *("-n", RELEASE, "rollout", "status", "deployment", "--timeout=5m"),
        )
        before = contents(own_cluster, folder)
        own_cluster.kubectl(*apply)
        assert contents(own_cluster, folder) == before
    finally:
        own_cluster.kubectl("delete", "namespace", RELEASE)
        own_cluster.kubectl("delete", "clusterqueues,resourceflavors", "--all")


def make_secrets(cluster, namespace, profile):
    """Make the Secrets that a profile or an overlay expects."""
    for name, keys in OWN_SECRETS.get(profile, {}).items():
        literals = [f"--from-literal={key}=secret" for key in keys]
        cluster.kubectl("-n", namespace, "create", "secret", "generic", name, *literals)


def not_ready(cluster, namespace):
    found = cluster.get("-n", namespace, "deployments,statefulsets")["items"]
    assert found
    return [
        each["metadata"]["name"]
        for each in found
        if each["status"].get("readyReplicas", 0) != each["spec"]["replicas"]
    ]


def held(cluster, namespace):
    """What must outlive a release: the store's passwords, and its volumes, each by its identity."""
    claims = cluster.get("-n", namespace, "persistentvolumeclaims")["items"]
    secrets = [
        each
        for each in cluster.get("-n", namespace, "secrets")["items"]
        if each["metadata"]["name"] == "intent-store-redis"
    ]
    assert claims
    assert secrets
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in claims} | {
        key: base64.b64decode(value).decode() for key, value in secrets[0]["data"].items()
    }


def percent(cluster, namespace):
    spec = cluster.get("-n", namespace, "experiment", "ranker")["spec"]
    return spec["variants"][1]["percent"]


def ramp(cluster, namespace, to):
    change = [{"op": "replace", "path": "/spec/variants/1/percent", "value": to}]
    patch = ("patch", "experiment", "ranker", "--type=json", "-p", json.dumps(change))
    cluster.kubectl("-n", namespace, *patch)


def drain(cluster, namespace):
    """Seconds that the router waits before it stops, as its pods are told."""
    router = cluster.get("-n", namespace, "deployment", "intent-store-router")
    stopping = router["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]
    return stopping["exec"]["command"][1]


def contents(cluster, folder):
    """What lies on the cluster of what an overlay applies, apart from what becomes of it there."""
    objects = cluster.get("--kustomize", str(folder))["items"]
    for each in objects:
        each.pop("status", None)
        # An empty list that the server leaves out counts as a new generation of the same.
        for field in ("managedFields", "resourceVersion", "generation"):
            each["metadata"].pop(field, None)
    return objects


def everything(cluster, namespace):
    kinds = "all,configmaps,secrets,persistentvolumeclaims,serviceaccounts,roles,experiments"
    listed = cluster.kubectl("-n", namespace, "get", kinds, "-o", "name")
    return sorted(name for name in listed.splitlines() if "default-token" not in name)
