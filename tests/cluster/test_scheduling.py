"""The scheduler puts every GPU step of the compiled pipelines where its accelerator is."""

import json

import pytest

from components.cluster.reasons import troubles
from pipelines.accelerators import POOLS, as_outputs, choose
from pipelines.choices import choices
from tests.cluster.driver import PIPELINES, load

pytestmark = pytest.mark.cluster

ACCELERATED = [
    path.stem
    for path in sorted(PIPELINES.glob("*.yaml"))
    if any(step.is_accelerated for step in load(path).steps)
]
EXPECTED = {"v100": "v100", "a100": "a100", "none": "cpu"}
"""Accelerators, and the pool of the fake nodes that have them."""
IMAGES = {"v100": "train-v100:", "a100": "train-cuda:", "none": "train:"}


@pytest.fixture
def work(own_cluster, namespace):
    """A namespace with the volume that steps share."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "intent-store-work"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    own_cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(claim))
    return namespace


@pytest.mark.parametrize("accelerator", EXPECTED)
@pytest.mark.parametrize("pipeline", ACCELERATED)
def test_every_step_is_bound_to_a_node_with_the_chosen_accelerator_and_has_its_image(
    own_cluster, work, pipeline, accelerator
):
    compiled = load(PIPELINES / f"{pipeline}.yaml")
    known = compiled.parameters | first_step(compiled.parameters, accelerator)
    steps = [step for step in compiled.steps if step.is_accelerated]
    pods = bound(own_cluster, work, [step.pod(known) for step in steps])
    assert {step_of(pod): pool_of(pod) for pod in pods} == {
        step.name: EXPECTED[accelerator] for step in steps
    }
    images = {step_of(pod): pod["spec"]["containers"][0]["image"] for pod in pods}
    assert [step for step, image in images.items() if IMAGES[accelerator] not in image] == []


@pytest.mark.parametrize("pipeline", ACCELERATED)
def test_other_steps_are_bound_to_nodes_without_accelerators(own_cluster, work, pipeline):
    compiled = load(PIPELINES / f"{pipeline}.yaml")
    known = compiled.parameters | first_step(compiled.parameters, "v100")
    steps = [step for step in compiled.steps if not step.is_accelerated]
    pods = bound(own_cluster, work, [step.pod(known) for step in steps])
    assert len(pods) == len(steps) > 0
    assert {pool_of(pod) for pod in pods} == {"cpu"}


def test_an_accelerator_that_no_node_has_leaves_the_pod_pending_and_says_so(own_cluster, work):
    [trouble] = why_pending(own_cluster, work, POOLS, "h100")
    assert "has no machine: Unschedulable: 0/7 nodes are available" in trouble.text
    assert "didn't match" in trouble.text


def test_a_pool_whose_taint_is_not_tolerated_leaves_the_pod_pending_and_names_the_taint(
    own_cluster, work
):
    pools = {"v100": {key: value for key, value in POOLS["v100"].items() if key != "tolerations"}}
    [trouble] = why_pending(own_cluster, work, pools, "v100")
    assert "{nvidia.com/gpu: present}" in trouble.text


def test_more_accelerators_than_a_node_has_leave_the_pod_pending_and_name_the_resource(
    own_cluster, work
):
    pools = {"a100": POOLS["a100"] | {"count": 16}}
    [trouble] = why_pending(own_cluster, work, pools, "a100")
    assert "Insufficient nvidia.com/gpu" in trouble.text


def first_step(parameters, accelerator, pools=None):
    """What a pipeline's first step works out of the choice of an accelerator."""
    sizes = ("cpu", "memory", "accelerated_cpu", "accelerated_memory")
    return choices(
        accelerator=accelerator,
        pools=pools or parameters["pools"],
        sessions_engine="duckdb",
        training="step",
        nodes=1,
        volume=parameters["volume"],
        sizes={name: parameters[name] for name in sizes if name in parameters},
        places={},
    )


def create(cluster, namespace, pods):
    pods = {"apiVersion": "v1", "kind": "List", "items": pods}
    cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(pods))


def bound(cluster, namespace, pods):
    """Create pods, and return them once the scheduler has found a node for each."""
    create(cluster, namespace, pods)

    def all_bound():
        found = cluster.get("-n", namespace, "pods")["items"]
        return found if all(pod["spec"].get("nodeName") for pod in found) else None

    return cluster.wait_for(all_bound)


def step_of(pod):
    return pod["metadata"]["generateName"].removesuffix("-")


def pool_of(pod):
    return pod["spec"]["nodeName"].rpartition("-")[0]


def why_pending(cluster, namespace, pools, accelerator):
    """What our tooling says of a step's pod that the scheduler found no node for."""
    compiled = load(PIPELINES / "training.yaml")
    step = next(step for step in compiled.steps if step.is_accelerated)
    known = compiled.parameters | first_step(compiled.parameters, accelerator, pools)
    assert known["node_selector"] == as_outputs(choose(accelerator, pools))["node_selector"]
    create(cluster, namespace, [step.pod(known)])

    def pod():
        [found] = cluster.get("-n", namespace, "pods")["items"]
        return found

    found = cluster.wait_for(lambda: troubles(pod()))
    assert pod()["status"]["phase"] == "Pending"
    return found
