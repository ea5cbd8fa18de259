"""Everything that serves, on one machine: one model server, one router, and the store they read."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml
from psutil import STATUS_ZOMBIE as ZOMBIE

from components.errors import IntentError
from components.files import whole_file
from components.variants.package import read_about

PROCESSES = "processes.json"
PATIENCE_SECONDS = 180
STOP_SECONDS = 45
SHIP_SECONDS = 10
LOOPBACK = "127.0.0.1"


class ServeError(IntentError):
    """Something that keeps the servers from starting; holds the end of their log."""


class Running(NamedTuple):
    """A process that was started.

    Attributes:
        name: of the process.
        pid: of the process.
        started: seconds since 1970, which tells it from a later process of the same number.
    """

    name: str
    pid: int
    started: float

    @property
    def is_alive(self) -> bool:
        """Whether the very process still runs."""
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.started and process.status() != ZOMBIE
        except psutil.NoSuchProcess:
            return False


def up(
    variants: Sequence[Path], *, store: str, experiments: Path, state: Path, port: int, grpc: int
) -> str:
    """Start a model server with all variants and a router before it, and wait until they answer.

    Args:
        variants: packages to serve.
        store: URL of the store.
        experiments: directory of manifests; the router watches it.
        state: directory for logs, exposures, outcomes and what is running.
        port: of the router, REST.
        grpc: of the router, gRPC.

    Returns:
        The router's address.

    Raises:
        ServeError: it runs already, a port is taken, or a server does not come up.
    """
    alive = [process for process in _running(state) if process.is_alive]
    if alive:
        raise ServeError(f"{alive[0].name} runs already, as process {alive[0].pid}; stop it first")
    for wanted in (port, grpc):
        _check_free(wanted)
    state.mkdir(parents=True, exist_ok=True)
    outcomes = state / "outcomes"
    outcomes.mkdir(exist_ok=True)
    http, backend_grpc = _free_port(), _free_port()
    models = {
        read_about(package).model: {
            "http": f"{LOOPBACK}:{http}",
            "grpc": f"{LOOPBACK}:{backend_grpc}",
        }
        for package in variants
    }
    upstreams = state / "upstreams.yaml"
    with whole_file(upstreams) as aside:
        aside.write_text(yaml.safe_dump(models))
    address = f"http://{LOOPBACK}:{port}"
    packages = [argument for package in variants for argument in ("--model-dir", str(package))]
    servers = {
        "models": (
            ["serving.server", *packages, "--store", store]
            + ["--http-port", str(http), "--grpc-port", str(backend_grpc)],
            f"http://{LOOPBACK}:{http}/v2/health/ready",
        ),
        "router": (
            ["serving.router", "--experiments", str(experiments), "--upstreams", str(upstreams)]
            + ["--state", str(state / "router"), "--outcomes", str(outcomes)]
            + ["--listen", f"{LOOPBACK}:{port}", "--grpc-listen", f"{LOOPBACK}:{grpc}"]
            + ["--rotate-every", str(SHIP_SECONDS)],
            f"{address}/status",
        ),
    }
    started: list[Running] = []
    try:
        for name, (module, health) in servers.items():
            started.append(_start(name, module, state))
            _note(state, started)
            _wait(started[-1], health, state)
    except BaseException:
        down(state)
        raise
    return address


def down(state: Path) -> list[str]:
    """Stop what `up` started, the router first; return the names of what was stopped.

    Args:
        state: that was given to `up`.
    """
    stopped = []
    for process in reversed(_running(state)):
        if process.is_alive:
            os.kill(process.pid, signal.SIGTERM)
            _wait_for_the_end(process)
            stopped.append(process.name)
    (state / PROCESSES).unlink(missing_ok=True)
    return stopped


def _start(name: str, module: list[str], state: Path) -> Running:
    with (state / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Running(name, process.pid, psutil.Process(process.pid).create_time())


def _wait(process: Running, health: str, state: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _answers(health):
        if not process.is_alive or time.monotonic() > deadline:
            log = state / f"{process.name}.log"
            end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise ServeError(f"{process.name} did not come up; the end of {log}:\n{end}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _wait_for_the_end(process: Running) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while process.is_alive:
        if time.monotonic() > deadline:
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.05)


def _note(state: Path, started: Sequence[Running]) -> None:
    with whole_file(state / PROCESSES) as aside:
        aside.write_text(json.dumps([process._asdict() for process in started], indent=1) + "\n")


def _running(state: Path) -> list[Running]:
    try:
        return [Running(**process) for process in json.loads((state / PROCESSES).read_text())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise ServeError(f"{state / PROCESSES}: damaged: {error}") from error


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise ServeError(f"port {port} of {LOOPBACK}: {error.strerror}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
