"""A variant as KServe runs it."""

import yaml

from components.variants.package import About

RUNTIME = "intent-store"
"""Name of the ServingRuntime (kserve) that loads packages."""

GROUP = "intent-store.dev"


def inference_service(about: About, uri: str) -> str:
    """Return the YAML of the InferenceService that serves a variant.

    The model is served under the InferenceService's name, and under its service's name for
    requests that come through the router.

    Args:
        about: the variant.
        uri: where its package lies.
    """
    manifest = {
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
                "minReplicas": 1,
                "model": {
                    "modelFormat": {"name": RUNTIME},
                    "runtime": RUNTIME,
                    "protocolVersion": "v2",
                    "storageUri": uri,
                },
            }
        },
    }
    return yaml.safe_dump(manifest, sort_keys=False)
