"""How every step of a pipeline is named and tried again."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

RETRIES = 5
"""Of a step that takes long; its outputs are whole or absent, and training has checkpoints."""


def step(name: str, task: dsl.PipelineTask, *, retries: int = 0) -> Mapping[str, Any]:
    """Name a step in the UI and on disk, and have it tried again where machines come and go."""
    task.set_display_name(name)
    if retries:
        task.set_retry(
            num_retries=retries,
            backoff_duration="30s",
            backoff_factor=2,
            backoff_max_duration="600s",
        )
    return task.outputs
