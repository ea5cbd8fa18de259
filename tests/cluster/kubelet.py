"""What plays the machines: pods that look running or done, volumes that look provisioned.

A pod bound to a node waits, as it would, for every ConfigMap and Secret that it needs; then a
Job's pod, a helm hook and whatever else does not restart always has succeeded, and the others run
and are ready. Annotations choose another end: see OUTCOME and its neighbours.
"""

import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

OUTCOME = "kubelet.test/outcome"
"""Annotation of a pod: Running | Succeeded | Failed, instead of what its kind suggests."""
REASON = "kubelet.test/reason"
"""Annotation of a pod that fails: the reason of its container, such as OOMKilled or Error."""
LOG = "kubelet.test/log"
"""Annotation of a pod: what `kubectl logs` shows of it."""

_LOG = logging.getLogger(__name__)
_PAUSE = 0.2  # seconds between two looks at what was not there, the API server included

Manifest = Mapping[str, Any]


class Kubelet:
    """The kubelets of all fake nodes, and the provisioner of all volumes, in three threads."""

    def __init__(self, certificate: Path, key: Path):
        """Take a port for the logs; `start` begins to work.

        Args:
            certificate: what the log server shows to the API server.
            key: its key.
        """
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._logs: dict[tuple[str, str], str] = {}
        self._address = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _log_handler(self._logs))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._server.server_address[1]

    def start(self, api: client.ApiClient) -> None:
        """Begin to watch pods and claims, with an administrator's client."""
        self._core = client.CoreV1Api(api)
        core = self._core
        loops: list[Callable[[], None]] = [
            lambda: self._follow(core.list_pod_for_all_namespaces, self._see_pod),
            lambda: self._follow(
                core.list_persistent_volume_claim_for_all_namespaces, self._see_claim
            ),
            self._server.serve_forever,
        ]
        self._threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop watching; threads end with their next event, or with the API server."""
        self._stopping.set()
        if self._threads:
            self._server.shutdown()
        self._server.server_close()

    def _follow(self, listing: Callable, see: Callable[[Manifest], bool]) -> None:
        """Show every object to `see` on each change, again and again while it returns False."""
        waiting: dict[str, Manifest] = {}
        while not self._stopping.is_set():
            try:
                seconds = 1 if waiting else 60
                for event in watch.Watch().stream(listing, timeout_seconds=seconds):
                    manifest = event["raw_object"]
                    name = manifest["metadata"].get("uid", "")
                    waiting.pop(name, None)
                    if event["type"] != "DELETED" and not see(manifest):
                        waiting[name] = manifest
                    if self._stopping.is_set():
                        return
                    if waiting and seconds > 1:
                        break  # nothing may change here until it is looked at again
            except (ApiException, HTTPError, OSError) as error:
                _LOG.info("watching again error=%s", error)
                time.sleep(_PAUSE)

    def _see_pod(self, pod: Manifest) -> bool:
        metadata, spec = pod["metadata"], pod["spec"]
        place = (metadata["namespace"], metadata["name"])
        try:
            if metadata.get("deletionTimestamp"):
                self._core.delete_namespaced_pod(place[1], place[0], grace_period_seconds=0)
                return True
            if not spec.get("nodeName") or pod["status"].get("phase") != "Pending":
                return True
            annotations = metadata.get("annotations", {})
            self._logs[place] = annotations.get(LOG, f"{'/'.join(place)} says nothing\n")
            missing = self._missing(place[0], spec)
            status = _waiting(spec, missing) if missing else _status(pod, self._next_address())
            self._core.patch_namespaced_pod_status(place[1], place[0], {"status": status})
        except ApiException as error:
            if error.status != 404:  # gone meanwhile
                raise
            return True
        return not missing

    def _missing(self, namespace: str, spec: Manifest) -> str | None:
        """Name the first ConfigMap or Secret, or key of one, that a pod cannot start without."""
        read = {
            "ConfigMap": self._core.read_namespaced_config_map,
            "Secret": self._core.read_namespaced_secret,
        }
        for kind, name, keys in _needed(spec):
            try:
                data = read[kind](name, namespace).data or {}
            except ApiException as error:
                if error.status != 404:
                    raise
                return f'{kind.lower()} "{name}" not found'
            for key in keys:
                if key not in data:
                    return f"couldn't find key {key} in {kind} {namespace}/{name}"
        return None

    def _see_claim(self, claim: Manifest) -> bool:
        metadata, spec = claim["metadata"], claim["spec"]
        if claim["status"].get("phase") != "Pending" or spec.get("volumeName"):
            return True
        volume = {
            "metadata": {"name": f"pv-{metadata['uid']}"},
            "spec": {
                "accessModes": spec["accessModes"],
                "capacity": spec["resources"]["requests"],
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    **{field: metadata[field] for field in ("namespace", "name", "uid")},
                },
                "hostPath": {"path": "/nonexistent"},
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": spec.get("storageClassName", ""),
            },
        }
        try:
            self._core.create_persistent_volume(volume)
        except ApiException as error:
            if error.status != 409:  # made at an earlier look
                raise
        return True

    def _next_address(self) -> str:
        self._address += 1
        return (
            f"10.{128 + self._address // 65536}.{self._address // 256 % 256}.{self._address % 256}"
        )


def _needed(spec: Manifest) -> Iterator[tuple[str, str, list[str]]]:
    """Yield kind, name and keys of what a pod's containers and volumes refer to."""
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        for source in container.get("envFrom", []):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source and not source[field].get("optional"):
                    yield kind, source[field]["name"], []
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if field in source and not source[field].get("optional"):
                    yield kind, source[field]["name"], [source[field]["key"]]
    for volume in spec.get("volumes", []):
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                reference = source.get(field)
                if reference and not reference.get("optional"):
                    name = reference.get("secretName") or reference["name"]
                    yield kind, name, [item["key"] for item in reference.get("items", [])]


def _waiting(spec: Manifest, message: str) -> dict:
    state = {"waiting": {"reason": "CreateContainerConfigError", "message": message}}
    return {
        "phase": "Pending",
        "containerStatuses": [_container(each, state, ready=False) for each in spec["containers"]],
    }


def _status(pod: Manifest, address: str) -> dict:
    annotations, spec = pod["metadata"].get("annotations", {}), pod["spec"]
    ends = spec.get("restartPolicy", "Always") != "Always" or "helm.sh/hook" in annotations
    phase = annotations.get(OUTCOME, "Succeeded" if ends else "Running")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    done = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
    failed = done | {"exitCode": 1, "reason": annotations.get(REASON, "Error")}
    state = {
        "Running": {"running": {"startedAt": now}},
        "Succeeded": {"terminated": done},
        "Failed": {"terminated": failed},
    }[phase]
    ready = phase == "Running"
    conditions = {"Initialized": True, "Ready": ready, "ContainersReady": ready}
    return {
        "phase": phase,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "127.0.0.1",
        "startTime": now,
        "conditions": [
            {"type": kind, "status": str(value), "lastTransitionTime": now}
            for kind, value in conditions.items()
        ],
        "initContainerStatuses": [
            _container(each, {"terminated": done}, ready=True)
            for each in spec.get("initContainers", [])
        ],
        "containerStatuses": [_container(each, state, ready) for each in spec["containers"]],
    }


def _container(container: Manifest, state: Manifest, ready: bool) -> dict:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "state": state,
    }


def _log_handler(logs: Mapping[tuple[str, str], str]) -> type[BaseHTTPRequestHandler]:
    """Answer /containerLogs/<namespace>/<pod>/<container>, as the API server asks a kubelet."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, _, namespace, pod, *_ = [*urlsplit(self.path).path.split("/"), "", "", ""]
            text = logs.get((namespace, pod))
            body = (text if text is not None else json.dumps({"message": "no log"})).encode()
            self.send_response(200 if text is not None else 404)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write nothing: the tests' output is theirs."""

    return Handler
