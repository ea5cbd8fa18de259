"""What every step of a pipeline is told: its name, what it needs of a cluster, when to try again.

On one machine only the name counts.
"""

from collections.abc import Mapping
from typing import Any

from kfp import dsl, kubernetes

from pipelines.places import CONFIG_MAP, SETTINGS, STORE_SECRET

RETRIES = 5
"""Of a step that takes long; its outputs are whole or absent, and training has checkpoints."""

WORK = "/intent"
"""Where the volume that steps share is mounted."""

REGISTRAR, LAUNCHER = "intent-store-registrar-token", "intent-store-launcher-token"
"""Secrets with the tokens of the accounts that register variants and launch jobs. A run has one
account for all its steps, so these steps bring their own."""

TOKENS = {REGISTRAR: "/var/run/intent/registrar", LAUNCHER: "/var/run/intent/launcher"}

HOUR = 3600
USER = 10001

LIGHT = {"cpu_request": "250m", "cpu_limit": "2", "memory_request": "1Gi", "memory_limit": "4Gi"}
"""Of a step that looks at settings or at small tables."""


class Steps:
    """Adds steps to a pipeline.

    Args:
        volume: name of the claim of the volume that steps share.
        cpu: processors of a step that works on data.
        memory: its memory.
        accelerated_cpu: processors of a step that trains or embeds.
        accelerated_memory: its memory.
    """

    def __init__(
        self,
        *,
        volume: Any,
        cpu: Any,
        memory: Any,
        accelerated_cpu: Any,
        accelerated_memory: Any,
    ):
        self._volume = volume
        self._sizes = cpu, memory
        self._accelerated_sizes = accelerated_cpu, accelerated_memory
        self._where: Mapping[str, Any] = {}

    def accelerated_on(self, where: Mapping[str, Any]) -> None:
        """Say where accelerated steps run: outputs of the first step, see `accelerators`."""
        self._where = where

    def light(self, name: str, task: dsl.PipelineTask, **needs: Any) -> Mapping[str, Any]:
        """Add a step that takes little."""
        task.set_cpu_request(LIGHT["cpu_request"]).set_cpu_limit(LIGHT["cpu_limit"])
        task.set_memory_request(LIGHT["memory_request"]).set_memory_limit(LIGHT["memory_limit"])
        return self._add(name, task, hours=1, **needs)

    def work(self, name: str, task: dsl.PipelineTask, **needs: Any) -> Mapping[str, Any]:
        """Add a step that works on the data, and is tried again where machines come and go."""
        _size(task, *self._sizes)
        return self._add(name, task, hours=24, **{"retries": RETRIES, **needs})

    def accelerated(
        self, name: str, task: dsl.PipelineTask, *, where: str = "", **needs: Any
    ) -> Mapping[str, Any]:
        """Add a step that runs where the chosen accelerator is.

        Args:
            name: of the step.
            task: that was made.
            where: what the names of the outputs that say where begin with.
            needs: see `light`.
        """
        _size(task, *self._accelerated_sizes)
        on = {
            key: self._where[f"{where}{key}"]
            for key in ("node_selector", "tolerations", "resource", "count", "image")
        }
        # kfp 2.17 forgets to pass these into a loop unless it is told that they are used.
        task.register_pipeline_channels([on["resource"], on["count"]])
        task.set_accelerator_type(on["resource"]).set_accelerator_limit(on["count"])
        task.set_container_image(on["image"])
        kubernetes.add_node_selector_json(task, on["node_selector"])
        kubernetes.add_toleration_json(task, on["tolerations"])
        # Memory that data loaders and NCCL share counts towards the pod's own limit.
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory")
        return self._add(name, task, hours=72, retries=RETRIES, **needs)

    def _add(
        self,
        name: str,
        task: dsl.PipelineTask,
        *,
        hours: int,
        retries: int = 0,
        volume: bool = False,
        store: bool = False,
        settings: bool = False,
        token: str = "",
        effect: bool = False,
    ) -> Mapping[str, Any]:
        """Name a step in the UI and on disk, and give it what it needs.

        Args:
            name: of the step.
            task: that was made.
            hours: after which an attempt is given up.
            retries: of a failed or preempted attempt.
            volume: whether it reads or writes the shared volume.
            store: whether it writes to the store.
            settings: whether it reads the installation's settings.
            token: Secret of an account of its own.
            effect: whether it changes something elsewhere, or reads what others change: then an
                earlier run's outputs are never taken for its own.
        """
        task.set_display_name(name)
        if retries:
            task.set_retry(
                num_retries=retries,
                backoff_duration="30s",
                backoff_factor=2,
                backoff_max_duration="600s",
            )
        if effect:
            task.set_caching_options(False)
        kubernetes.set_timeout(task, hours * HOUR)
        kubernetes.set_security_context(
            task, run_as_user=USER, run_as_group=USER, run_as_non_root=True
        )
        if volume:
            kubernetes.mount_pvc(task, self._volume, WORK)
        if store:
            task.set_env_variable("INTENT_STORE_USER", "writer")
            password = {"writer-password": "INTENT_STORE_PASSWORD"}
            kubernetes.use_secret_as_env(task, STORE_SECRET, password, optional=True)
        if settings:
            kubernetes.use_config_map_as_env(task, CONFIG_MAP, SETTINGS, optional=True)
        if token:
            kubernetes.use_secret_as_volume(task, token, TOKENS[token], optional=True)
        return task.outputs


def _size(task: dsl.PipelineTask, cpu: Any, memory: Any) -> None:
    """Ask for what is also the limit of memory; idle processors may be taken beyond the request."""
    channels = [size for size in (cpu, memory) if not isinstance(size, str)]
    if channels:
        task.register_pipeline_channels(channels)
    task.set_cpu_request(cpu)
    task.set_memory_request(memory).set_memory_limit(memory)
