"""Where a pipeline reads and writes, and what its installation says about that.

A cluster's administrator writes addresses once, into the ConfigMap `intent-store`; steps see them
as environment variables, and whoever starts a run leaves a place as CONFIGURED or names another.
"""

import os
from collections.abc import Mapping

from components.errors import IntentError

CONFIGURED = "configured"
CONFIG_MAP = "intent-store"
STORE_SECRET = "intent-store-redis"

SETTINGS = {
    "release": "INTENT_STORE_RELEASE",
    "namespace": "INTENT_STORE_NAMESPACE",
    "registry": "INTENT_STORE_REGISTRY",
    "exposures": "INTENT_STORE_EXPOSURES",
    "experiments": "INTENT_STORE_EXPERIMENTS",
    "store-url": "INTENT_STORE_URL",
    "work-claim": "INTENT_STORE_WORK_CLAIM",
    "serving-runtime": "INTENT_STORE_SERVING_RUNTIME",
    "serving-service-account": "INTENT_STORE_SERVING_ACCOUNT",
    "own-services": "INTENT_STORE_OWN_SERVICES",
    "image-train": "INTENT_STORE_IMAGE_TRAIN",
    "image-train-cuda": "INTENT_STORE_IMAGE_TRAIN_CUDA",
    "image-train-v100": "INTENT_STORE_IMAGE_TRAIN_V100",
    "image-train-tensorflow": "INTENT_STORE_IMAGE_TRAIN_TENSORFLOW",
    "trainer-service-account": "INTENT_STORE_TRAINER_ACCOUNT",
    "spark-service-account": "INTENT_STORE_SPARK_ACCOUNT",
    "queue": "INTENT_STORE_QUEUE",
    "training-runtime": "INTENT_STORE_TRAINING_RUNTIME",
    "kubeflow-release": "INTENT_STORE_KUBEFLOW_RELEASE",
}
"""Keys of the ConfigMap that steps read, and the environment variables they become."""


class PlaceError(IntentError):
    """A place that is neither given nor configured; names it."""


def place(name: str, given: str, setting: str, settings: Mapping[str, str] | None = None) -> str:
    """Return a place as it was given, or as it is configured.

    Args:
        name: of the pipeline's parameter.
        given: its value.
        setting: key of the ConfigMap.
        settings: environment; the process's own unless given.

    Raises:
        PlaceError: it is to be as configured, and is not.
    """
    if given != CONFIGURED:
        return given
    found = (os.environ if settings is None else settings).get(SETTINGS[setting])
    if not found:
        raise PlaceError(
            f"{name}: {CONFIGURED!r}, but the ConfigMap {CONFIG_MAP} has no key {setting}: "
            f"set it there, or give {name} a value"
        )
    return found
