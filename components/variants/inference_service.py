"""A variant as KServe runs it."""

from typing import Any

import yaml

from components.variants.package import About

RUNTIME = "intent-store"
"""Name of the ServingRuntime (kserve) that loads packages."""

GROUP = "intent-store.dev"


def inference_service(about: About, uri: str) -> str:
    """Return the YAML of the InferenceService that serves a variant.

    The model is served under the InferenceService's name, and under its service's name for
    requests that come through the router.

    Replicas and resources are not in it: the runtime says what a model is given, and a person who
    says otherwise in the InferenceService is not overruled by the next registration.

    Args:
        about: the variant.
        uri: where its package lies.
    """
    return yaml.safe_dump(manifest_of(about, uri), sort_keys=False)


def manifest_of(about: About, uri: str) -> dict[str, Any]:
    """Return the InferenceService as a mapping; see `inference_service`."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": about.model,
            "labels": {
                f"{GROUP}/service": about.service,
                f"{GROUP}/variant": about.name,
            },
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/enable-prometheus-scraping": "true",
                f"{GROUP}/version": about.version,
                **({f"{GROUP}/encoder": about.encoder} if about.encoder else {}),
            },
        },
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": RUNTIME},
                    "runtime": RUNTIME,
                    "protocolVersion": "v2",
                    "storageUri": uri,
                },
            }
        },
    }
