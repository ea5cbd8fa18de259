"""The test cluster does what the other tests rely on, as any Kubernetes does."""

import base64
import json

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster.access import CommandError

pytestmark = pytest.mark.cluster

EXPERIMENT = {
    "apiVersion": "intent-store.dev/v1alpha1",
    "kind": "Experiment",
    "metadata": {"name": "ranker"},
    "spec": {
        "service": "ranker",
        "salt": "ranker-1",
        "control": "old",
        "variants": [
            {"name": "old", "inferenceService": "ranker-old"},
            {"name": "new", "inferenceService": "ranker-new", "percent": 0},
        ],
    },
}
PLACE = ("intent-store.dev", "v1alpha1")


@pytest.fixture
def experiment(cluster, namespace):
    """An experiment that lies on the cluster, and its namespace."""
    cluster.install_crds()
    cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(EXPERIMENT))
    return namespace


def test_the_second_of_two_writers_who_read_the_same_version_is_told_of_the_conflict(
    cluster, experiment
):
    objects = client.CustomObjectsApi(cluster.client())
    place = (*PLACE, experiment, "experiments", "ranker")
    first = objects.get_namespaced_custom_object(*place)
    second = objects.get_namespaced_custom_object(*place)
    first["spec"]["variants"][1]["percent"] = 1
    second["spec"]["variants"][1]["percent"] = 20
    objects.replace_namespaced_custom_object(*place, first)
    with pytest.raises(ApiException) as refused:
        objects.replace_namespaced_custom_object(*place, second)
    assert refused.value.status == 409
    assert objects.get_namespaced_custom_object(*place)["spec"]["variants"][1]["percent"] == 1


def test_a_field_that_another_manager_applied_is_taken_only_by_force(cluster, namespace):
    def apply(value, *options):
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "shared"},
            "data": {"percent": value},
        }
        return cluster.kubectl(
            *("-n", namespace, "apply", "--server-side", "-f", "-", *options),
            input=json.dumps(manifest),
        )

    apply("1", "--field-manager=alice")
    with pytest.raises(CommandError, match='conflict with "alice": .data.percent'):
        apply("2", "--field-manager=bob")
    apply("2", "--field-manager=bob", "--force-conflicts")
    assert cluster.get("-n", namespace, "configmap", "shared")["data"] == {"percent": "2"}


def test_what_the_schema_of_an_experiment_forbids_is_refused_by_its_field(cluster, experiment):
    change = {"spec": {"service": "horoscope"}}
    with pytest.raises(CommandError, match=r"spec.service: Unsupported value: \"horoscope\""):
        cluster.kubectl(
            *("-n", experiment, "patch", "experiment", "ranker"),
            *("--type=merge", "-p", json.dumps(change)),
        )


def test_an_account_without_rights_is_refused_and_told_what_it_lacks(cluster, namespace):
    account = f"--as=system:serviceaccount:{namespace}:default"
    with pytest.raises(CommandError, match='cannot list resource "secrets"'):
        cluster.kubectl("-n", namespace, "get", "secrets", account)


def test_a_service_account_gets_a_token_that_the_server_knows_it_by(cluster, namespace):
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "token",
            "annotations": {"kubernetes.io/service-account.name": "default"},
        },
    }
    cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(secret))
    data = cluster.wait_for(
        lambda: cluster.get("-n", namespace, "secret", "token").get("data", {}).get("token")
    )
    token = base64.b64decode(data).decode()
    with pytest.raises(CommandError, match=f'"system:serviceaccount:{namespace}:default"'):
        cluster.kubectl(f"--token={token}", "-n", namespace, "get", "secrets")


def test_pods_of_a_deployment_run_on_the_nodes_and_can_be_asked_for_their_log(
    own_cluster, namespace
):
    own_cluster.kubectl("-n", namespace, "create", "deployment", "web", "--image=web")
    own_cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web")
    assert "says nothing" in own_cluster.kubectl("-n", namespace, "logs", "deployment/web")


def test_a_job_completes(own_cluster, namespace):
    own_cluster.kubectl("-n", namespace, "create", "job", "once", "--image=once")
    own_cluster.kubectl("-n", namespace, "wait", "--for=condition=complete", "job/once")


def test_a_pod_waits_for_the_key_of_a_config_map_that_it_needs(own_cluster, namespace):
    def state():
        status = own_cluster.get("-n", namespace, "pod", "needy")["status"]
        waiting = status.get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {})
        return status["phase"], waiting.get("message")

    variable = {
        "name": "ADDRESS",
        "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "address"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "needy"},
        "spec": {"containers": [{"name": "main", "image": "main", "env": [variable]}]},
    }
    own_cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(pod))
    own_cluster.wait_for(lambda: state() == ("Pending", 'configmap "settings" not found'))
    own_cluster.kubectl(
        "-n", namespace, "create", "configmap", "settings", "--from-literal=address=a"
    )
    own_cluster.wait_for(lambda: state()[0] == "Running")


def test_a_claim_gets_a_volume(own_cluster, namespace):
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "work"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    own_cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(claim))
    own_cluster.wait_for(
        lambda: own_cluster.get("-n", namespace, "pvc", "work")["status"]["phase"] == "Bound"
    )


def test_what_was_written_is_there_when_a_killed_api_server_is_back(cluster, experiment):
    cluster.stop_api_server()
    try:
        with pytest.raises(CommandError, match="refused|EOF|reset"):
            cluster.kubectl("get", "namespaces")
    finally:
        cluster.start_api_server()
    found = cluster.get("-n", experiment, "experiment", "ranker")
    assert found["spec"]["salt"] == "ranker-1"
