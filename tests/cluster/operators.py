"""What plays Kubeflow Trainer and the Spark operator: they make pods, and tell what became of them.

Pods really run what their job says. Conditions, states, labels and names are those that the real
operators set (kubeflow/trainer 2.1 to 2.3 over JobSet, kubeflow/spark-operator 2.x).
"""

import logging
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from components.cluster.client import SPARK_APPLICATION, TRAIN_JOB, Kind
from tests.cluster.machine import SCHEDULER, Machine

Manifest = dict[str, Any]
Act = Callable[["Operators", Manifest, list[Manifest]], None]
"""What an operator does with a job and its pods, again and again."""

_LOG = logging.getLogger(__name__)
_PAUSE = 0.2


class Operators:
    """Both operators of one namespace, in a thread that survives the API server's absence.

    Args:
        api: an administrator's client.
        namespace: whose jobs are theirs.
        machine: where pods run.
        home: a folder for the files that operators hand to drivers.
    """

    def __init__(self, api: client.ApiClient, namespace: str, machine: Machine, home: Path):
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self.namespace, self.machine, self.home = namespace, machine, home
        self.act: Act = run_for_real
        self.made: list[str] = []
        self.broken = ""
        self._pods: dict[str, list[Manifest]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begin to look at jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Look at jobs no longer."""
        self._stopping.set()
        self._thread.join(180)

    def make_pods(self, job: Manifest, *, scheduler: str = SCHEDULER) -> list[Manifest]:
        """Make the pods of a job."""
        metadata = job["metadata"]
        pods = _pods_of_training(job) if job["kind"] == TRAIN_JOB.kind else [_driver(job)]
        made = []
        for pod in pods:
            pod["metadata"]["ownerReferences"] = [
                {
                    "apiVersion": job["apiVersion"],
                    "kind": job["kind"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ]
            pod["spec"] |= {"schedulerName": scheduler, "restartPolicy": "Never"}
            self._core.create_namespaced_pod(self.namespace, pod)
            made.append(pod)
        self.made.append(metadata["uid"])
        self._pods[metadata["uid"]] = made
        return made

    def tell(self, job: Manifest, status: Mapping[str, Any]) -> None:
        """Write a job's status."""
        kind = _kind(job)
        self._custom.patch_namespaced_custom_object_status(
            kind.group,
            kind.version,
            self.namespace,
            kind.plural,
            job["metadata"]["name"],
            {"status": dict(status)},
        )

    def _work(self) -> None:
        while not self._stopping.wait(_PAUSE):
            try:
                there = [*self._jobs(TRAIN_JOB), *self._jobs(SPARK_APPLICATION)]
                kept = {job["metadata"]["uid"] for job in there if not _going(job)}
                for uid in set(self._pods) - kept:
                    for pod in self._pods[uid]:
                        self.machine.remove(self.namespace, pod["metadata"]["name"])
                    del self._pods[uid]
                for job in there:
                    if not _going(job) and not _ended(job) and not job["spec"].get("suspend"):
                        self.act(self, job, self._pods.get(job["metadata"]["uid"], []))
            except (ApiException, HTTPError, OSError) as error:
                _LOG.warning("looking again error=%s", error)
            except Exception:
                self.broken = traceback.format_exc()
                raise

    def _jobs(self, kind: Kind) -> list[Manifest]:
        found = self._custom.list_namespaced_custom_object(
            kind.group, kind.version, self.namespace, kind.plural
        )
        return found["items"]


def run_for_real(operators: Operators, job: Manifest, pods: list[Manifest]) -> None:
    """Run every pod's command on this machine, and tell how they ended."""
    machine, namespace = operators.machine, operators.namespace
    if not pods:
        port = _free_port()
        for rank, pod in enumerate(operators.make_pods(job)):
            command, environment = _program(operators, job, rank, port)
            machine.run(namespace, pod, command, environment)
        tell_running(operators, job)
        return
    codes = [machine.ended(namespace, pod) for pod in pods]
    if any(codes):
        tell_failed(operators, job, next(code for code in codes if code))
    elif all(code == 0 for code in codes):
        tell_succeeded(operators, job)


def tell_running(operators: Operators, job: Manifest) -> None:
    """Tell that a job's pods run."""
    if job["kind"] == SPARK_APPLICATION.kind:
        operators.tell(job, _spark(job, "RUNNING"))


def tell_succeeded(operators: Operators, job: Manifest) -> None:
    """Tell that all is done."""
    if job["kind"] == SPARK_APPLICATION.kind:
        operators.tell(job, _spark(job, "COMPLETED"))
    else:
        message = "jobset completed successfully"
        operators.tell(job, _condition("Complete", "AllJobsCompleted", message))


def tell_failed(operators: Operators, job: Manifest, code: int, why: str = "Error") -> None:
    """Tell that a pod failed, in the operators' own words."""
    if job["kind"] == SPARK_APPLICATION.kind:
        message = f"driver container failed with ExitCode: {code}, Reason: {why}"
        operators.tell(job, _spark(job, "FAILED", message))
    else:
        message = "jobset failed due to one or more job failures"
        operators.tell(job, _condition("Failed", "FailedJobs", message))


def tell_overdue(operators: Operators, job: Manifest) -> None:
    """Tell that a TrainJob passed its deadline, as Trainer 2.2 and later do."""
    message = "TrainJob exceeded its active deadline"
    operators.tell(job, _condition("Failed", "DeadlineExceeded", message))


def _program(
    operators: Operators, job: Manifest, rank: int, port: int
) -> tuple[list[str], dict[str, str]]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": programs, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    own |= {"PYTHONPATH": str(Path(__file__).parents[2]), "GLOO_SOCKET_IFNAME": "lo"}
    if job["kind"] == TRAIN_JOB.kind:
        trainer = job["spec"]["trainer"]
        own |= {each["name"]: each["value"] for each in trainer["env"]}
        own |= {
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_NODE_RANK": str(rank),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(port),
        }
        return trainer["command"], own
    spec = job["spec"]
    properties = operators.home / f"{job['metadata']['name']}.properties"
    properties.write_text(
        "spark.master=local[2]\nspark.driver.host=127.0.0.1\nspark.ui.enabled=false\n"
        "spark.app.name=from-the-operator\nspark.driver.memory=1g\n"
    )
    own |= {each["name"]: each["value"] for each in spec["driver"]["env"]}
    (container,) = spec["driver"]["template"]["spec"]["containers"]
    return [
        *container["command"],
        *("driver", "--properties-file", str(properties)),
        *("--class", "org.apache.spark.deploy.PythonRunner"),
        *(spec["mainApplicationFile"], *spec["arguments"]),
    ], own | {"SPARK_DRIVER_BIND_ADDRESS": "127.0.0.1"}


def _pods_of_training(job: Manifest) -> list[Manifest]:
    name, trainer = job["metadata"]["name"], job["spec"]["trainer"]
    wanted = _wanted(job["spec"])
    resources = trainer["resourcesPerNode"]
    return [
        {
            "metadata": {
                "name": f"{name}-node-0-{rank}-{job['metadata']['uid'][:5]}",
                "labels": {
                    "jobset.sigs.k8s.io/jobset-name": name,
                    "jobset.sigs.k8s.io/replicatedjob-name": "node",
                    "batch.kubernetes.io/job-completion-index": str(rank),
                },
            },
            "spec": {
                "serviceAccountName": wanted["serviceAccountName"],
                "nodeSelector": wanted.get("nodeSelector", {}),
                "tolerations": wanted.get("tolerations", []),
                "containers": [{"name": "node", "image": trainer["image"], "resources": resources}],
            },
        }
        for rank in range(trainer["numNodes"])
    ]


def _wanted(spec: Manifest) -> Manifest:
    if "podTemplateOverrides" in spec:
        return spec["podTemplateOverrides"][0]["spec"]
    (replicated,) = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"][
        "replicatedJobs"
    ]
    return replicated["template"]["spec"]["template"]["spec"]


def _driver(job: Manifest) -> Manifest:
    name, driver = job["metadata"]["name"], job["spec"]["driver"]
    return {
        "metadata": {
            "name": f"{name}-driver",
            "labels": {"sparkoperator.k8s.io/app-name": name, "spark-role": "driver"},
        },
        "spec": {
            "serviceAccountName": driver["serviceAccount"],
            "nodeSelector": driver.get("nodeSelector", {}),
            "containers": [{"name": "spark-kubernetes-driver", "image": job["spec"]["image"]}],
        },
    }


def _condition(kind: str, reason: str, message: str) -> Manifest:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {"conditions": [condition | {"lastTransitionTime": now}]}


def _spark(job: Manifest, state: str, message: str = "") -> Manifest:
    said = {"errorMessage": message} if message else {}
    return {
        "applicationState": {"state": state} | said,
        "driverInfo": {"podName": f"{job['metadata']['name']}-driver"},
    }


def _kind(job: Manifest) -> Kind:
    return TRAIN_JOB if job["kind"] == TRAIN_JOB.kind else SPARK_APPLICATION


def _going(job: Manifest) -> bool:
    return "deletionTimestamp" in job["metadata"]


def _ended(job: Manifest) -> bool:
    status = job.get("status", {})
    if job["kind"] == SPARK_APPLICATION.kind:
        return status.get("applicationState", {}).get("state") in ("COMPLETED", "FAILED")
    return any(each["type"] in ("Complete", "Failed") for each in status.get("conditions", []))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], Any], seconds: float = 180) -> Any:
    """Ask again and again until the answer is true, and return it."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {seconds:g} s")
        time.sleep(0.1)
    return answer
