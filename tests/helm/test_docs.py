"""The generated pages are up to date, and say what the policies mean."""

import json

import pytest
import yaml

from helm import network_table, values_table
from helm.chart import CHART, NAMESPACE, render
from helm.network import End, Network


def test_the_table_of_values_is_up_to_date():
    assert values_table.PAGE.read_text() == values_table.page(), "run `make manifests`"


def test_the_table_has_every_value_with_its_default_and_a_description():
    rows = {row.name: row for row in values_table.rows()}
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    leaves = dict(_leaves(values, "", set(rows)))
    assert set(leaves) <= set(rows)
    for name, default in leaves.items():
        assert json.loads(rows[name].default) == default
    assert not [row.name for row in rows.values() if not row.tells]


def _leaves(values, path, known):
    for name, value in values.items():
        if f"{path}{name}" in known or not isinstance(value, dict):
            yield f"{path}{name}", value
        else:
            yield from _leaves(value, f"{path}{name}.", known)


def test_the_table_of_connections_is_up_to_date():
    assert network_table.PAGE.read_text() == network_table.page(), "run `make manifests`"


@pytest.fixture(scope="module")
def rendered():
    return [each.object for each in render(network_table.VALUES)]


@pytest.fixture(scope="module")
def pods(rendered):
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    return {pod.name: pod for pod in network_table.workloads(rendered, values)}


@pytest.fixture(scope="module")
def policies(rendered):
    return network_table.network(rendered)


def callers(policies, pods, target, port):
    return {name for name, pod in pods.items() if policies.allows(pod, pods[target], port)}


def test_models_are_asked_by_the_router_and_by_each_other_only(policies, pods):
    assert callers(policies, pods, "models", 9000) == {"router", "models"}
    assert callers(policies, pods, "models", 8080) == {"router", "models", "Prometheus"}


def test_the_store_is_opened_by_those_who_read_or_write_it_only(policies, pods):
    allowed = {"models", "nearline", "test", "pipeline steps"}
    assert callers(policies, pods, "redis", 6379) == allowed
    assert callers(policies, pods, "redis", 22) == set()


def test_training_processes_find_each_other_and_nobody_finds_them(policies, pods):
    assert callers(policies, pods, "trainer", 29500) == {"trainer"}


def test_nobody_outside_the_namespace_reaches_anything_but_prometheus(policies, pods):
    for target, ports in network_table._PORTS.items():
        for port in ports:
            assert "pods of other namespaces" not in callers(policies, pods, target, port)


def test_a_pod_of_ours_that_no_policy_names_may_nothing(policies, pods):
    labels = {"app.kubernetes.io/instance": NAMESPACE, "app.kubernetes.io/part-of": "intent-store"}
    stray = End("stray", NAMESPACE, labels)
    assert not any(policies.allows(stray, pod, 8080) for pod in pods.values())
    assert not any(policies.allows(pod, stray, 8080) for pod in pods.values())
    assert not policies.allows(stray, pods["redis"], 6379)


NAMESPACES = {"home": {"name": "home"}, "away": {"name": "away", "team": "a"}}
SERVER = End("server", "home", {"app": "server"}, {"web": 8080})
CLIENT = End("client", "home", {"app": "client"})
FRIEND = End("friend", "away", {"app": "client"})
WEB = End("web", address="203.0.113.8")


def policy(**spec):
    chosen = {"podSelector": {"matchLabels": {"app": "server"}}}
    return {"metadata": {"namespace": "home"}, "spec": chosen | spec}


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ({}, set()),
        ({"ingress": []}, set()),
        ({"ingress": [{}]}, {"client", "friend"}),
        ({"ingress": [{"from": [{"podSelector": {}}]}]}, {"client"}),
        ({"ingress": [{"from": [{"namespaceSelector": {}}]}]}, {"client", "friend"}),
        ({"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "no"}}}]}]}, set()),
        (
            {
                "ingress": [
                    {
                        "from": [
                            {
                                "namespaceSelector": {"matchLabels": {"team": "a"}},
                                "podSelector": {"matchLabels": {"app": "client"}},
                            }
                        ]
                    }
                ]
            },
            {"friend"},
        ),
        ({"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}, set()),
        ({"ingress": [{"ports": [{"port": 8080}]}]}, {"client", "friend"}),
        ({"ingress": [{"ports": [{"port": "web"}]}]}, {"client", "friend"}),
        ({"ingress": [{"ports": [{"port": 8000, "endPort": 8100}]}]}, {"client", "friend"}),
        ({"ingress": [{"ports": [{"port": 8080, "protocol": "UDP"}]}]}, set()),
        ({"ingress": [{"ports": [{"port": 9000}]}]}, set()),
        ({"policyTypes": ["Egress"], "egress": []}, {"client", "friend"}),
    ],
)
def test_policies_mean_what_the_api_reference_says(spec, allowed):
    network = Network([policy(**spec)], NAMESPACES)
    assert {end.name for end in (CLIENT, FRIEND) if network.allows(end, SERVER, 8080)} == allowed


@pytest.mark.parametrize(
    ("block", "allowed"),
    [
        ({"cidr": "203.0.113.0/24"}, True),
        ({"cidr": "203.0.113.0/24", "except": ["203.0.113.8/32"]}, False),
        ({"cidr": "10.0.0.0/8"}, False),
    ],
)
def test_addresses_outside_are_let_through_by_blocks(block, allowed):
    network = Network([policy(egress=[{"to": [{"ipBlock": block}]}])], NAMESPACES)
    assert network.allows(SERVER, WEB, 443) is allowed
    assert network.allows(CLIENT, WEB, 443), "whom no policy selects is free"
