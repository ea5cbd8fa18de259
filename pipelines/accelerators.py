"""Which machines the steps that train and embed run on: a choice by name.

A pool is a kind of node: what selects it, what it repels, what it offers, and the image whose
torch knows it. A name is chosen when a run is started; other clouds bring a table of their own.
"""

import difflib
import os
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from components.config import Config
from components.errors import IntentError
from components.image import TRAIN_IMAGE
from pipelines.places import SETTINGS

NONE = "none"
GPU, GKE_LABEL = "nvidia.com/gpu", "cloud.google.com/gke-accelerator"


class AcceleratorError(IntentError):
    """A choice of machines that cannot be; names the choice and what there is."""


def _gke(label: str, image: str) -> dict[str, Any]:
    return {
        "node_selector": {GKE_LABEL: label},
        "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
        "resource": GPU,
        "image": image,
    }


POOLS: dict[str, dict[str, Any]] = {
    NONE: {"resource": GPU, "count": 0, "image": "train"},
    "v100": _gke("nvidia-tesla-v100", "train-v100"),
    "a100": _gke("nvidia-tesla-a100", "train-cuda"),
    "h100": _gke("nvidia-h100-80gb", "train-cuda"),
}
"""Google Kubernetes Engine's; the default of every pipeline's parameter `pools`."""


class Toleration(Config):
    """A taint that is put up with; fields as in Kubernetes."""

    key: str | None = None
    operator: str = Field(default="Exists", pattern="^(Exists|Equal)$")
    value: str | None = None
    effect: str | None = Field(default=None, pattern="^(NoSchedule|PreferNoSchedule|NoExecute)$")


class Pool(Config):
    """A kind of node.

    Attributes:
        node_selector: labels of its nodes.
        tolerations: of the taints that keep others off them.
        resource: what a container asks for.
        count: how many of it, for each pod; 0 for none.
        image: name of one of ours (`train-cuda`), or any image in full.
    """

    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    resource: str = Field(default=GPU, min_length=1)
    count: int = Field(default=1, ge=0)
    image: str = Field(min_length=1)


def choose(accelerator: str, pools: Mapping[str, Any]) -> Pool:
    """Find the pool of a name.

    Raises:
        AcceleratorError: there is none, or its description is wrong; names both.
    """
    if accelerator not in pools:
        near = difflib.get_close_matches(accelerator, pools, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        known = ", ".join(pools) or "no pools at all"
        raise AcceleratorError(f"accelerator {accelerator!r}{meant}: not one of {known}")
    try:
        return Pool.model_validate(pools[accelerator])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise AcceleratorError(f"pools.{accelerator}.{key}: {first['msg']}") from error


def image_of(name: str, settings: Mapping[str, str] | None = None) -> str:
    """Give an image in full.

    Args:
        name: one of ours (`train-cuda`), or an image in full already.
        settings: environment, which says where ours were put.
    """
    if "/" in name or ":" in name:
        return name
    where = os.environ if settings is None else settings
    ours, _, tag = TRAIN_IMAGE.rpartition(":")
    default = f"{ours.rpartition('/')[0]}/{name}:{tag}"
    return where.get(SETTINGS.get(f"image-{name}", "")) or default


def as_outputs(pool: Pool) -> dict[str, Any]:
    """Write a pool as a step's outputs: what the pods of other steps are given."""
    return {
        "node_selector": pool.node_selector,
        "tolerations": [one.model_dump(exclude_none=True) for one in pool.tolerations],
        "resource": pool.resource,
        "count": str(pool.count),
        "image": image_of(pool.image),
    }
