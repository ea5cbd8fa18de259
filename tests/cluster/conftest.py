"""One cluster for all tests of this folder: built here, or one that a KUBECONFIG names."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster import binaries

if TYPE_CHECKING:
    from tests.cluster.access import Cluster

KUBECONFIG = "INTENT_TEST_KUBECONFIG"
"""Environment variable: the kubeconfig of a cluster to test on, instead of one started here."""

# What talks to a cluster is imported late: collecting these tests costs no half second of client.


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: talks to a real API server")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A cluster, as its administrator; shared by all tests of the session."""
    home = tmp_path_factory.mktemp("cluster")
    given = os.environ.get(KUBECONFIG)
    try:
        clients = binaries.clients()
        servers = {} if given else binaries.servers()
    except binaries.BinaryError as error:
        pytest.skip(f"no cluster to test on: {error}; or name one by {KUBECONFIG}")
    if given:
        from tests.cluster.access import Cluster

        yield Cluster(Path(given).expanduser().resolve(), clients, home)
    else:
        yield from _own_cluster(home, clients, servers)


@pytest.fixture
def own_cluster(cluster):
    """The cluster, when its nodes are the fake ones; tests of what runs where need those."""
    if not cluster.is_ours:
        pytest.skip("needs the fake nodes of a cluster of our own")
    return cluster


@pytest.fixture
def namespace(cluster):
    """A fresh namespace in which pods may be created at once; deleted afterwards."""
    name = cluster.make_namespace()
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


def _own_cluster(
    home: Path, clients: dict[str, Path], servers: dict[str, Path]
) -> "Iterator[Cluster]":
    from tests.cluster.access import Cluster
    from tests.cluster.control_plane import ControlPlane
    from tests.cluster.kubelet import Kubelet
    from tests.cluster.nodes import add_nodes

    control_plane = ControlPlane(home, servers)
    control_plane.start()
    try:
        cluster = Cluster(control_plane.kubeconfig, clients, home, control_plane)
        kubelet = Kubelet(home / "ca.crt", home / "ca.key")
        add_nodes(cluster.client(), kubelet.port)
        kubelet.start(cluster.client())
        yield cluster
        kubelet.stop()
    finally:
        control_plane.stop()
