"""Without a cluster, errors say what was asked for and what was tried."""

import json

import pytest

from components.cluster import client
from components.cluster.apply import get
from components.cluster.client import EXPERIMENT, POD, connect, kind_of, own_namespace
from components.cluster.errors import ClusterError, Unreachable


@pytest.fixture
def nothing(tmp_path, monkeypatch):
    """A machine that knows of no cluster."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(client, "POD_ACCOUNT", tmp_path / "account")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return tmp_path


def account(folder):
    folder.mkdir()
    for name, content in (("token", "t"), ("ca.crt", "c"), ("namespace", "intent\n")):
        (folder / name).write_text(content)
    return folder


def test_without_any_cluster_the_error_says_what_was_tried(nothing):
    with pytest.raises(ClusterError) as refused:
        connect(nothing / "missing")
    for tried in (str(nothing / "missing"), "KUBECONFIG", "the pod's own account"):
        assert tried in str(refused.value)


def test_a_mounted_account_is_used_before_all_others(nothing, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    folder = account(nothing / "mounted")
    configuration = connect(folder).configuration
    assert configuration.host == "https://10.0.0.1:443"
    assert configuration.api_key["authorization"] == "bearer t"
    assert configuration.ssl_ca_cert == str(folder / "ca.crt")
    assert own_namespace(folder) == "intent"


def test_a_pod_uses_its_own_account_and_namespace(nothing, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert own_namespace() == "default"
    account(nothing / "account")
    assert connect().configuration.api_key["authorization"] == "bearer t"
    assert own_namespace() == "intent"


def test_a_kubeconfig_names_server_and_namespace(nothing):
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "mine"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (nothing / "kubeconfig").write_text(json.dumps(config))
    assert own_namespace() == "mine"
    api = connect(nothing / "missing")
    assert api.configuration.host == "http://127.0.0.1:9"
    with pytest.raises(Unreachable, match=r"Experiment mine/ranker: .*127\.0\.0\.1:9 does not"):
        get(api, EXPERIMENT, "ranker", namespace="mine")


def test_kinds_have_the_paths_that_the_api_server_knows():
    assert EXPERIMENT.path("ns", "a", "status") == (
        "/apis/intent-store.dev/v1alpha1/namespaces/ns/experiments/a/status"
    )
    assert POD.path("ns") == "/api/v1/namespaces/ns/pods"
    assert kind_of({"apiVersion": "v1", "kind": "Pod"}) == POD
    with pytest.raises(ClusterError, match="v1 Node: not a kind"):
        kind_of({"apiVersion": "v1", "kind": "Node"})
