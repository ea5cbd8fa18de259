"""Work on many executors: a SparkApplication of the Spark operator."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from components.cluster.client import SPARK_APPLICATION
from components.cluster.config import JobConfig
from components.cluster.state import FAILED, QUEUED, RUNNING, SUCCEEDED, State
from components.cluster.trainjob import CONTAINER_SECURITY, POD_SECURITY, QUEUE_LABEL

SERVICE_ACCOUNT = "intent-store-spark"
SPARK_VERSION = "4.0.0"
"""Of the operator's own spark-submit, which only has to be of the same major version as ours."""

SECONDS_KEPT = 86_400
"""That an application which ended is kept when no step is there any more to delete it."""

START = "components.cluster.spark_pod"
"""Module that starts the driver or an executor in an image without Spark's own entry script."""

PYTHON_SHARE = 0.4
"""Spark's own factor of a pod's memory that is not the JVM's, for Python."""

_UNITS = {"": 1 / 2**20, "m": 1 / 2**20 / 1000}
_UNITS |= {unit: 1000**power / 2**20 for power, unit in enumerate("KMGT", 1)}
_UNITS |= {f"{unit}i": 1024**power / 2**20 for power, unit in enumerate("KMGT", 1)}


def spark_application(
    name: str,
    program: str,
    arguments: Sequence[str],
    config: JobConfig,
    *,
    labels: Mapping[str, str],
) -> dict[str, Any]:
    """Make the manifest of a SparkApplication.

    Args:
        name: of the application; a DNS label.
        program: Python file inside the image, run by the driver.
        arguments: of the program.
        config: where and with how much; a driver has an executor's memory and one core.
        labels: of the application and its pods.
    """
    cores = max(1, math.floor(_number(config.cpu)))
    memory = f"{math.floor(_mebibytes(config.memory) / (1 + PYTHON_SHARE))}m"
    pod: dict[str, Any] = {
        "memory": memory,
        "labels": dict(labels),
        "env": [
            {"name": "PYSPARK_PYTHON", "value": sys.executable},
            {"name": "PYSPARK_DRIVER_PYTHON", "value": sys.executable},
            {"name": "HOME", "value": "/tmp"},
        ],
        "volumeMounts": [
            {"name": "work", "mountPath": str(config.work)},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        "podSecurityContext": POD_SECURITY,
        "securityContext": CONTAINER_SECURITY,
    }
    if config.tolerations:
        pod["tolerations"] = [each.manifest() for each in config.tolerations]
    spec: dict[str, Any] = {
        "type": "Python",
        "mode": "cluster",
        "pythonVersion": "3",
        "sparkVersion": SPARK_VERSION,
        "image": config.image,
        "mainApplicationFile": f"local://{program}",
        "arguments": list(arguments),
        "memoryOverheadFactor": str(PYTHON_SHARE),
        "restartPolicy": {
            "type": "OnFailure",
            "onFailureRetries": config.retries,
            "onFailureRetryInterval": 30,
            "onSubmissionFailureRetries": config.retries,
            "onSubmissionFailureRetryInterval": 30,
        },
        "timeToLiveSeconds": SECONDS_KEPT,
        "volumes": [
            {"name": "work", "persistentVolumeClaim": {"claimName": config.volume_claim}},
            {"name": "tmp", "emptyDir": {}},
        ],
        "driver": pod
        | {
            "cores": 1,
            "serviceAccount": config.service_account or SERVICE_ACCOUNT,
            "template": _template("spark-kubernetes-driver"),
        },
        "executor": pod
        | {
            "cores": cores,
            "coreRequest": config.cpu,
            "instances": config.nodes,
            "deleteOnTermination": False,
            "template": _template("spark-kubernetes-executor"),
        },
    }
    if config.node_selector:
        for role in ("driver", "executor"):
            spec[role]["nodeSelector"] = dict(config.node_selector)
    metadata: dict[str, Any] = {"name": name, "labels": dict(labels)}
    if config.queue:
        metadata["labels"][QUEUE_LABEL] = config.queue
        spec["suspend"] = True
    return {
        "apiVersion": SPARK_APPLICATION.api_version,
        "kind": SPARK_APPLICATION.kind,
        "metadata": metadata,
        "spec": spec,
    }


def spark_application_state(application: Mapping[str, Any]) -> State:
    """Tell how far a SparkApplication has come, by the state that its operator sets."""
    status = application.get("status", {}).get("applicationState", {})
    state, message = status.get("state", ""), status.get("errorMessage", "")
    if state == "COMPLETED":
        return State(SUCCEEDED, state)
    if state == "FAILED":
        return State(FAILED, f"{state}: {message}")
    if application["spec"].get("suspend"):
        return State(QUEUED, "suspended until its queue has quota")
    return State(RUNNING, f"{state}: {message}" if message else "")


def spark_application_pods(name: str) -> str:
    """Return the selector of the driver and the executors."""
    return f"sparkoperator.k8s.io/app-name={name}"


def _template(container: str) -> dict[str, Any]:
    command = [sys.executable, "-m", START]
    return {"spec": {"containers": [{"name": container, "command": command}]}}


def _number(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def _mebibytes(quantity: str) -> float:
    digits = quantity.rstrip("KMGTim")
    return float(digits) * _UNITS[quantity[len(digits) :]]
