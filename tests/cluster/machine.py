"""A node on which pods of the tests really run, as processes of this machine, with real logs.

Its pods have a scheduler of their own name, so that neither the real scheduler nor the fake kubelet
of the other nodes takes them.
"""

import os
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes import client
from kubernetes.client.exceptions import ApiException

SCHEDULER = "machine.test"


class Process:
    """A container: a process, and the lines that it wrote with their times."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]):
        self.lines: list[tuple[str, str]] = []
        self._child = subprocess.Popen(
            command,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def exit_code(self) -> int | None:
        """Return how it ended, as a kubelet says it, or None."""
        code = self._child.poll()
        if code is None or self._reader.is_alive():
            return None
        return code if code >= 0 else 128 - code

    def stop(self) -> None:
        """Ask it to end, and then make it."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(30)
            except subprocess.TimeoutExpired:
                self._child.kill()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self.lines.append((_now(), line.rstrip("\n")))


class Machine:
    """The node, and the log endpoint of its kubelet.

    Args:
        api: an administrator's client.
        certificate, key: what the endpoint shows.
    """

    def __init__(self, api: client.ApiClient, certificate: Path, key: Path):
        self._core = client.CoreV1Api(api)
        self.name = f"machine-{uuid.uuid4().hex[:6]}"
        self.processes: dict[tuple[str, str], Process] = {}
        self.interrupt_logs = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        endpoint = {"kubeletEndpoint": {"Port": self._server.server_address[1]}}
        self._core.create_node({"metadata": {"name": self.name}, "spec": {"unschedulable": True}})
        self._core.patch_node_status(
            self.name,
            {
                "status": {
                    "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                    "daemonEndpoints": endpoint,
                    "conditions": [{"type": "Ready", "status": "True", "reason": "Test"}],
                }
            },
        )

    def run(
        self,
        namespace: str,
        pod: dict[str, Any],
        command: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        """Make a pod run here: a command of this machine plays its first container."""
        name = pod["metadata"]["name"]
        process = Process(command, os.environ | dict(environment))
        self.processes[namespace, name] = process
        self.set_status(namespace, pod, {"running": {"startedAt": _second()}}, phase="Running")
        self._core.create_namespaced_pod_binding(
            name,
            namespace,
            {"metadata": {"name": name}, "target": {"kind": "Node", "name": self.name}},
            _preload_content=False,
        )

    def set_status(
        self,
        namespace: str,
        pod: dict[str, Any],
        state: Mapping[str, Any],
        *,
        phase: str,
        conditions: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Write what a kubelet would write of a pod's first container."""
        container = pod["spec"]["containers"][0]
        status = {
            "phase": phase,
            "startTime": _second(),
            "conditions": list(conditions),
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": phase == "Running",
                    "restartCount": 0,
                    "state": dict(state),
                }
            ],
        }
        self._core.patch_namespaced_pod_status(
            pod["metadata"]["name"], namespace, {"status": status}
        )

    def ended(self, namespace: str, pod: dict[str, Any]) -> int | None:
        """Tell how a pod's process ended, once; write it into the pod's status."""
        code = self.processes[namespace, pod["metadata"]["name"]].exit_code()
        if code is not None:
            ended = {
                "exitCode": code,
                "reason": "Error" if code else "Completed",
                "startedAt": _second(),
                "finishedAt": _second(),
            }
            phase = "Failed" if code else "Succeeded"
            self.set_status(namespace, pod, {"terminated": ended}, phase=phase)
        return code

    def remove(self, namespace: str, pod: str) -> None:
        """Stop a pod's process and take the pod away."""
        process = self.processes.get((namespace, pod))
        if process:
            process.stop()
        try:
            self._core.delete_namespaced_pod(pod, namespace, grace_period_seconds=0)
        except ApiException as error:
            if error.status != 404:
                raise

    def close(self) -> None:
        """Stop everything that runs here."""
        for process in self.processes.values():
            process.stop()
        self._server.shutdown()
        self._server.server_close()
        self._core.delete_node(self.name)


def _now() -> str:
    moment = datetime.now(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z"


def _second() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _handler(machine: Machine) -> type[BaseHTTPRequestHandler]:
    """Answer as a kubelet: /containerLogs/<namespace>/<pod>/<container>?follow&sinceTime."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            _, _, namespace, pod, *_ = address.path.split("/")
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            process = machine.processes.get((namespace, pod))
            self.send_response(200 if process else 404)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            if process:
                self._send(process, query)

        def _send(self, process: Process, query: Mapping[str, str]) -> None:
            since, sent = query.get("sinceTime", ""), 0
            while True:
                over = process.exit_code() is not None
                for moment, text in process.lines[sent:]:
                    if not since or moment[:19] >= since[:19]:
                        self.wfile.write(f"{moment} {text}\n".encode())
                    sent += 1
                    if machine.interrupt_logs:
                        machine.interrupt_logs = False
                        return
                self.wfile.flush()
                if over or query.get("follow") != "true":
                    return
                time.sleep(0.05)

        def log_message(self, *_: object) -> None:
            """Write nothing: the tests' output is theirs."""

    return Handler
