"""The test cluster does what the other tests rely on."""

import pytest

pytestmark = pytest.mark.cluster


def test_pods_of_a_deployment_run_on_the_nodes_and_can_be_asked_for_their_log(
    own_cluster, namespace
):
    own_cluster.kubectl("-n", namespace, "create", "deployment", "web", "--image=web")
    own_cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web")
    assert own_cluster.kubectl("-n", namespace, "logs", "deployment/web")
