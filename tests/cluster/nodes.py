"""Nodes that no machine stands behind, with the labels, taints and capacities of real pools."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

POOL_LABEL = "cloud.google.com/gke-nodepool"
_ACCELERATOR_LABEL = "cloud.google.com/gke-accelerator"
_GPU = "nvidia.com/gpu"


class Pool(NamedTuple):
    """Nodes of one kind, as a cloud makes them."""

    nodes: int
    cpu: int
    memory: str
    accelerator: str | None = None
    gpus: int = 0


POOLS: Mapping[str, Pool] = {
    "cpu": Pool(nodes=3, cpu=64, memory="256Gi"),
    "v100": Pool(nodes=2, cpu=96, memory="600Gi", accelerator="nvidia-tesla-v100", gpus=8),
    "a100": Pool(nodes=2, cpu=96, memory="1360Gi", accelerator="nvidia-tesla-a100", gpus=8),
}
"""Node pools by name; nodes are called <pool>-<number>. There is none with an H100."""


def add_nodes(api: "ApiClient", log_port: int) -> None:
    """Register every pool's nodes, ready.

    Args:
        api: an administrator's client.
        log_port: where the fake kubelet answers for the logs of its pods.
    """
    from kubernetes import client

    core = client.CoreV1Api(api)
    for pool in POOLS:
        for number in range(POOLS[pool].nodes):
            node = _node(pool, number, log_port)
            core.create_node(node)
            core.patch_node_status(node["metadata"]["name"], {"status": node["status"]})


def _node(name: str, number: int, log_port: int) -> dict:
    pool = POOLS[name]
    labels = {
        "kubernetes.io/hostname": f"{name}-{number}",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/region": "test",
        "topology.kubernetes.io/zone": f"test-{'abc'[number % 3]}",
        POOL_LABEL: name,
    }
    resources = {
        "cpu": str(pool.cpu),
        "memory": pool.memory,
        "ephemeral-storage": "2Ti",
        "pods": "250",
    }
    taints = []
    if pool.accelerator:
        labels[_ACCELERATOR_LABEL] = pool.accelerator
        resources[_GPU] = str(pool.gpus)
        taints = [{"key": _GPU, "value": "present", "effect": "NoSchedule"}]
    return {
        "metadata": {"name": f"{name}-{number}", "labels": labels},
        "spec": {"taints": taints},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "KubeletReady"},
                *(
                    {"type": pressure, "status": "False", "reason": "KubeletHasRoom"}
                    for pressure in ("MemoryPressure", "DiskPressure", "PIDPressure")
                ),
            ],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": log_port}},
            "nodeInfo": {
                **dict.fromkeys(
                    ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage"), "test"
                ),
                "containerRuntimeVersion": "none://0",
                "kubeletVersion": "v1.20.2",
                "kubeProxyVersion": "v1.20.2",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }
