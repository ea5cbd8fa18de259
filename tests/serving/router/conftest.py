import json
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from serving.router.router import Router
from serving.router.settings import Settings
from tests.serving.router.upstream import Upstream


@dataclass
class Running:
    """A router that answers in this process, and what it stands on."""

    router: Router
    url: str
    home: Path
    upstreams: dict[str, Upstream]
    client: httpx.Client
    thread: threading.Thread

    def stop(self):
        """End the router in order."""
        self.router.stop()
        self.thread.join()

    def post(self, service="ranker", unit="m1", **more):
        headers = {} if unit is None else {"x-member-id": unit}
        headers |= more.pop("headers", {})
        path = more.pop("path", f"/v1/models/{service}:predict")
        client = more.pop("client", None) or self.client
        return client.post(self.url + path, content=b'{"instances": []}', headers=headers, **more)

    def manifest(self, name="ranking", **changes):
        """Write a manifest, whole or not at all, and wait for the router to have taken it."""
        write_manifest(self.home / "experiments", name, **changes)
        self.settle()

    def settle(self):
        """Have the router look at manifests and upstreams now."""
        self.router.apply()

    def wait_for_one_generation(self):
        """Wait until every nginx that was replaced has ended."""
        for _ in range(600):
            if len(self.router.generations) == 1:
                return
            time.sleep(0.05)
        raise AssertionError("a replaced nginx does not end")

    def exposures(self, count):
        """Wait until so many exposures are in the log, and give them."""
        path = self.home / "state" / "exposures" / "current.jsonl"
        for _ in range(1000):
            lines = path.read_text().splitlines() if path.exists() else []
            if len(lines) >= count:
                return [json.loads(line) for line in lines]
            time.sleep(0.02)
        raise AssertionError(f"{len(lines)} exposures instead of {count}")


def write_manifest(folder, name="ranking", **changes):
    spec = {
        "service": "ranker",
        "salt": f"{name}-1",
        "control": "plain",
        "variants": [
            {"name": "plain", "inferenceService": "ranker-plain"},
            {"name": "full", "inferenceService": "ranker-full", "percent": 50},
        ],
        "timeout": 5,
    } | changes
    document = {
        "apiVersion": "intent-store.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }
    aside = folder / f".{name}.new"
    aside.write_text(yaml.safe_dump(document, sort_keys=False))
    return aside.replace(folder / f"{name}.yaml")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def upstreams():
    found = {name: Upstream(name) for name in ("ranker-plain", "ranker-full", "encoder-only")}
    yield found
    for upstream in found.values():
        upstream.stop()


@pytest.fixture
def place(tmp_path, upstreams):
    """A directory with one experiment at 50 %, and addresses of its upstreams."""
    (tmp_path / "experiments").mkdir()
    write_manifest(tmp_path / "experiments")
    write_upstreams(tmp_path, upstreams)
    return tmp_path


def write_upstreams(home, upstreams):
    content = {name: {"http": upstream.address} for name, upstream in upstreams.items()}
    services = {"encoder": "encoder-only"}
    (home / "upstreams.yaml").write_text(yaml.safe_dump({"services": services} | content))


def settings_of(place, **changes):
    usual = {
        "experiments": place / "experiments",
        "upstreams": place / "upstreams.yaml",
        "state": place / "state",
        "listen": f"127.0.0.1:{free_port()}",
        "workers": 1,
        "keepalive": 1,
    }
    return Settings(**usual | changes)


@pytest.fixture
def start(place, upstreams, client):
    """Start routers that stop at the end of the test."""
    started = []

    def start(**changes):
        settings = settings_of(place, **{"watch_every": 3600} | changes)
        router = Router(settings)
        router.start()
        thread = threading.Thread(target=router.run)
        thread.start()
        url = f"http://{settings.listen}"
        started.append(Running(router, url, place, upstreams, client, thread))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def client():
    with httpx.Client(timeout=10) as client:
        yield client


@pytest.fixture
def running(start):
    return start()
