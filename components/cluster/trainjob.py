"""Training on several machines: a TrainJob of Kubeflow Trainer."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.cluster.client import TRAIN_JOB
from components.cluster.config import JobConfig
from components.cluster.state import FAILED, QUEUED, RUNNING, SUCCEEDED, State

SERVICE_ACCOUNT = "intent-store-trainer"
MANAGER = "intent-store.dev/pipelines"
NODE = "node"
"""What Trainer calls the replicated job, and the container, in which training runs."""

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
PLACES_TO_WRITE = {
    "HOME": "/tmp",
    "NUMBA_CACHE_DIR": "/tmp/numba",
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/inductor",
}
"""The root file system is read-only."""

POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def train_job(
    name: str, command: Sequence[str], config: JobConfig, *, labels: Mapping[str, str]
) -> dict[str, Any]:
    """Make the manifest of a TrainJob.

    Trainer tells each machine's torchrun by environment variables (PET_*) how many there are, which
    one it is and where they meet.

    Args:
        name: of the job; a DNS label.
        command: run on every machine.
        config: where and with how much.
        labels: of the job and its pods.
    """
    resources = {"cpu": config.cpu, "memory": config.memory}
    limits = {"memory": config.memory}
    if config.gpus_per_node:
        gpus = {"nvidia.com/gpu": str(config.gpus_per_node)}
        resources, limits = resources | gpus, limits | gpus
    spec: dict[str, Any] = {
        "runtimeRef": {
            "apiGroup": TRAIN_JOB.group,
            "kind": "TrainingRuntime",
            "name": config.runtime,
        },
        "trainer": {
            "numNodes": config.nodes,
            "numProcPerNode": config.processes,
            "image": config.image,
            "command": list(command),
            "env": [{"name": key, "value": value} for key, value in PLACES_TO_WRITE.items()],
            "resourcesPerNode": {"requests": resources, "limits": limits},
        },
    }
    metadata: dict[str, Any] = {"name": name, "labels": dict(labels)}
    if config.queue:
        # Kueue wakes it up when there is quota.
        metadata["labels"][QUEUE_LABEL] = config.queue
        spec["suspend"] = True
    patch = {"metadata": {"labels": dict(labels)}, "spec": _pod(config)}
    if config.release == "26.03":
        spec["podTemplateOverrides"] = [{"targetJobs": [{"name": NODE}], **patch}]
    else:
        spec["activeDeadlineSeconds"] = config.timeout
        spec["runtimePatches"] = [_runtime_patch(patch)]
    return {
        "apiVersion": TRAIN_JOB.api_version,
        "kind": TRAIN_JOB.kind,
        "metadata": metadata,
        "spec": spec,
    }


def train_job_state(job: Mapping[str, Any]) -> State:
    """Tell how far a TrainJob has come, by the conditions that Trainer sets."""
    conditions = {
        condition["type"]: condition
        for condition in job.get("status", {}).get("conditions", [])
        if condition["status"] == "True"
    }
    for kind, phase in (("Complete", SUCCEEDED), ("Failed", FAILED)):
        if kind in conditions:
            said = conditions[kind]
            return State(phase, f"{said.get('reason', '')}: {said.get('message', '')}")
    if job["spec"].get("suspend"):
        return State(QUEUED, "suspended until its queue has quota")
    return State(RUNNING, "")


def train_job_pods(name: str) -> str:
    """Return the selector of a TrainJob's pods."""
    return f"jobset.sigs.k8s.io/jobset-name={name}"


def _pod(config: JobConfig) -> dict[str, Any]:
    """Say what the pods need beyond what the runtime gives them; the runtime hardens them."""
    shared_memory = {"medium": "Memory", "sizeLimit": config.shared_memory}
    pod: dict[str, Any] = {
        "serviceAccountName": config.service_account or SERVICE_ACCOUNT,
        "volumes": [
            {"name": "work", "persistentVolumeClaim": {"claimName": config.volume_claim}},
            {"name": "shm", "emptyDir": shared_memory},
            {"name": "tmp", "emptyDir": {}},
        ],
        "containers": [
            {
                "name": NODE,
                "volumeMounts": [
                    {"name": "work", "mountPath": str(config.work)},
                    {"name": "shm", "mountPath": "/dev/shm"},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
            }
        ],
    }
    if config.node_selector:
        pod["nodeSelector"] = dict(config.node_selector)
    if config.tolerations:
        pod["tolerations"] = [each.manifest() for each in config.tolerations]
    return pod


def _runtime_patch(patch: Mapping[str, Any]) -> dict[str, Any]:
    """Write a patch of the pods as Trainer 2.2 and later want it; these let it harden them too."""
    pod = dict(patch["spec"])
    pod["securityContext"] = POD_SECURITY
    pod["terminationGracePeriodSeconds"] = 120
    pod["containers"] = [
        each | {"securityContext": CONTAINER_SECURITY} for each in pod["containers"]
    ]
    template = {"metadata": patch["metadata"], "spec": pod}
    jobs = [{"name": NODE, "template": {"spec": {"template": template}}}]
    return {
        "manager": MANAGER,
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}},
    }
