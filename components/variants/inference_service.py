"""A variant as KServe runs it."""

import os
from pathlib import Path
from typing import Any

import yaml

from components.variants.package import About

FORMAT = "intent-store"
"""Model format that the ServingRuntime declares."""

GROUP = "intent-store.dev"

RELEASE = "INTENT_STORE_RELEASE"
"""Environment variable: the chart's release that is to serve it, by default intent-store."""

RUNTIME = "INTENT_STORE_SERVING_RUNTIME"
"""Environment variable: the ServingRuntime that loads packages, by default the release's name."""

ACCOUNT = "INTENT_STORE_SERVING_ACCOUNT"
"""Environment variable: the service account of its pods, by default RELEASE-serving."""

WORK_CLAIM = "INTENT_STORE_WORK_CLAIM"
"""Environment variable: the volume claim of the pipelines' folder, which model servers can read."""

WORK = Path("/intent")
"""Where pipelines' steps have that folder."""

_USER = 10001
_GRACE = 60  # seconds: a server lingers for those who have its address, then finishes its answers


def inference_service(about: About, uri: str) -> str:
    """Return the YAML of the InferenceService that serves a variant.

    The model is served under the InferenceService's name, and under its service's name for
    requests that come through the router.

    Replicas and resources are not in it: the runtime says what a model is given, and a person who
    says otherwise in the InferenceService is not overruled by the next registration. What only the
    site knows, such as the release's name, is read from the environment.

    Args:
        about: the variant.
        uri: where its package lies.
    """
    return yaml.safe_dump(manifest_of(about, uri), sort_keys=False)


def manifest_of(about: About, uri: str) -> dict[str, Any]:
    """Return the InferenceService as a mapping; see `inference_service`."""
    release = os.environ.get(RELEASE) or "intent-store"
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": about.model,
            "labels": {
                "app.kubernetes.io/name": "intent-store",
                "app.kubernetes.io/instance": release,
                "app.kubernetes.io/component": "model",
                "app.kubernetes.io/part-of": "intent-store",
                # Else KServe makes an Ingress for each variant, past the router.
                "networking.kserve.io/visibility": "cluster-local",
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
                "serviceAccountName": os.environ.get(ACCOUNT) or f"{release}-serving",
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": _GRACE,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": _USER,
                    "runAsGroup": _USER,
                    "fsGroup": _USER,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "model": {
                    "modelFormat": {"name": FORMAT},
                    "runtime": os.environ.get(RUNTIME) or release,
                    "protocolVersion": "v2",
                    "storageUri": _for_pods(uri),
                },
            }
        },
    }


def _for_pods(uri: str) -> str:
    """Name a place below the pipelines' folder as pods of the serving namespace can read it."""
    claim, path = os.environ.get(WORK_CLAIM), Path(uri.removeprefix("file://"))
    if claim and uri.startswith("file://") and path.is_relative_to(WORK):
        return f"pvc://{claim}/{path.relative_to(WORK)}"
    return uri
