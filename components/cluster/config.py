"""A job that a step has the cluster do: where, with how much, and for how long."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from components.config import Config
from components.image import TRAIN_IMAGE

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]

CREDENTIALS = Path("/var/run/intent/launcher")
"""Where the launcher's service account is mounted in a pipeline's steps."""


class Toleration(Config):
    """A taint of nodes that the job's pods put up with."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""

    def manifest(self) -> dict[str, str]:
        """Return what a pod says of it."""
        return {name: value for name, value in self.model_dump().items() if value}


class JobConfig(Config):
    """A TrainJob of several machines, or a SparkApplication of one driver and several executors.

    Attributes:
        release: Kubeflow release whose forms are written: its Trainer takes other fields.
        namespace: of the job and of the step that follows it; the step's own when empty.
        image: of the job's pods; the one of the step, or its sibling for the accelerator.
        runtime: TrainingRuntime that a TrainJob is made from.
        nodes: machines that train, or Spark executors.
        processes_per_node: that train on a machine; one for each GPU when 0.
        gpus_per_node: of a machine that trains.
        node_selector: labels of the machines wanted.
        tolerations: taints of machines that may be taken all the same.
        cpu: of a machine's or executor's pod.
        memory: likewise; for Spark all of it, the Python processes' share included.
        shared_memory: of a machine that trains, at /dev/shm; part of `memory`.
        queue: Kueue's LocalQueue to wait in; none when empty.
        service_account: of the job's pods; of this project's kind when empty.
        volume_claim: volume that steps and jobs share.
        work: where the volume is mounted, in the step and in the job.
        timeout: seconds that the job may run.
        start_timeout: seconds that it may wait for quota, machines and images.
        image_timeout: seconds after which an image that cannot be pulled, or a container that
            cannot be made, is given up.
        retries: times that a job is made anew when its machines were taken away.
        keep_failed: leave a failed job where it is, to be looked at, until it is tried again.
    """

    release: Literal["26.03", "newest"] = "newest"
    namespace: str = ""
    image: str = Field(default=TRAIN_IMAGE, min_length=1)
    runtime: Name = "intent-store"
    nodes: int = Field(default=1, ge=1, le=1024)
    processes_per_node: int = Field(default=0, ge=0, le=64)
    gpus_per_node: int = Field(default=0, ge=0, le=64)
    node_selector: dict[str, str] = Field(default={})
    tolerations: tuple[Toleration, ...] = ()
    cpu: Quantity = "4"
    memory: Quantity = "16Gi"
    shared_memory: Quantity = "2Gi"
    queue: str = ""
    service_account: str = ""
    volume_claim: Name = "intent-store-work"
    work: Path = Path("/intent")
    timeout: int = Field(default=172_800, ge=1)
    start_timeout: int = Field(default=21_600, ge=1)
    image_timeout: int = Field(default=300, ge=1)
    retries: int = Field(default=5, ge=0)
    keep_failed: bool = False

    @property
    def processes(self) -> int:
        """Processes that train on one machine."""
        return self.processes_per_node or max(1, self.gpus_per_node)
