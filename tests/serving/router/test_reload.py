"""New configurations lose no request, and neither does a process that is killed lose a line."""

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import pytest

from components.experiments.experiments import load_experiments
from components.experiments.exposures import read_exposures
from tests.serving.router.conftest import free_port, settings_of, write_manifest


class Client(threading.Thread):
    """Sends one request after another on one connection, and tries none a second time.

    As HTTP asks of a client, it leaves a connection when it is told to, or when it has idled for
    the time that the server announced.
    """

    def __init__(self, url, unit, most_idle):
        super().__init__()
        self.host, self.unit, self.most_idle = url.removeprefix("http://"), unit, most_idle
        self.done, self.failures, self.answers = threading.Event(), [], []
        self.random = random.Random(unit)

    def run(self):
        connection, left = None, 0.0
        while not self.done.is_set():
            if connection is None or time.monotonic() > left:
                if connection:
                    connection.close()
                connection = http.client.HTTPConnection(self.host, timeout=10)
            try:
                connection.request(
                    "POST", "/v1/models/ranker:predict", b"{}", {"x-member-id": self.unit}
                )
                answer = connection.getresponse()
                answer.read()
                self.answers.append((answer.status, answer.headers["x-intent-variant"]))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)
                connection = None
                continue
            if answer.headers["connection"] == "close":
                connection = None
            else:
                announced = answer.headers["keep-alive"].removeprefix("timeout=")
                left = time.monotonic() + float(announced)
            self.done.wait(self.random.uniform(0, self.most_idle))


def test_reloads_under_load_fail_no_request_and_move_no_unit(place, start):
    running = start(workers=2)
    waits = [0, 0, 0, 0, 0.01, 0.05, 0.3, 0.8, 1.5, 1.5]
    clients = [Client(running.url, f"m{n}", wait) for n, wait in enumerate(waits)]
    for client in clients:
        client.start()
    for timeout in (3, 4, 5):
        time.sleep(0.5)
        write_manifest(place / "experiments", timeout=timeout)
        running.settle()
    running.wait_for_one_generation()
    for client in clients:
        client.done.set()
    for client in clients:
        client.join()
    units = [client.unit for client in clients]
    assigned = load_experiments(place / "experiments").assign("ranker", units)
    assert [failure for client in clients for failure in client.failures] == []
    for client, expected in zip(clients, assigned, strict=True):
        assert set(client.answers) == {(200, expected.variant)}
    asked = sum(len(client.answers) for client in clients)
    assert len(running.exposures(asked)) == asked


def test_an_nginx_that_is_killed_is_replaced_on_the_same_socket(running):
    (killed,) = running.router.generations
    os.kill(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    for _ in range(600):
        if running.router.generations and running.router.generations[-1] is not killed:
            break
        time.sleep(0.05)
    assert running.post().status_code == 200


@pytest.fixture
def process(place, upstreams):
    """Start the router as a process of its own, for one that is to be killed."""
    started = []
    listen = f"127.0.0.1:{free_port()}"

    def start():
        settings = settings_of(place, listen=listen)
        flags = ("experiments", "upstreams", "state", "listen", "workers")
        said = [f"--{name}={getattr(settings, name)}" for name in flags]
        router = subprocess.Popen([sys.executable, "-m", "serving.router", *said])
        started.append(router)
        wait_for_status(f"http://{listen}")
        return router, f"http://{listen}"

    yield start
    for router in started:
        router.terminate()
        router.wait()


def test_a_killed_router_leaves_nginx_answering_and_the_next_one_takes_over(place, process):
    first, url = process()
    ask = {"content": b"{}", "headers": {"x-member-id": "m1"}}
    path = f"{url}/v1/models/ranker:predict"
    before = httpx.post(path, **ask).headers["x-intent-variant"]
    first.kill()
    first.wait()
    assert httpx.post(path, **ask).headers["x-intent-variant"] == before
    second, _ = process()
    assert httpx.post(path, **ask).headers["x-intent-variant"] == before
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0
    table = read_exposures(place / "state" / "exposures" / "parquet")
    assert table["variant"].to_pylist() == [before] * 3
    assert not list((place / "state" / "gen").iterdir())


def test_the_command_says_what_is_wrong_with_it(place):
    def run(*flags):
        command = [sys.executable, "-m", "serving.router", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    settings = settings_of(place)
    usual = [f"--{n}={getattr(settings, n)}" for n in ("experiments", "upstreams", "state")]
    code, said = run(*usual, "--listen=everywhere")
    assert code == 2
    assert "--listen" in said
    (place / "upstreams.yaml").unlink()
    code, said = run(*usual)
    assert code == 1
    assert "upstreams.yaml" in said


def test_the_status_is_served_and_written(running):
    served = httpx.get(f"{running.url}/status").json()
    assert served["experiments"]["ranking"]["percent"] == {"full": 50}
    assert served == json.loads((running.home / "state" / "status.json").read_text())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root's rights")
def test_it_runs_as_somebody_without_rights_and_in_a_deep_directory(place, upstreams):
    nobody = 65534
    deep = Path(tempfile.mkdtemp()) / ("deep" * 20) / ("deeper" * 15)
    deep.mkdir(parents=True)
    shutil.copytree(place, deep, dirs_exist_ok=True)
    for folder in (*list(deep.parents)[:2], deep):
        os.chown(folder, nobody, nobody)
    settings = settings_of(deep)
    said = [
        f"--{n}={getattr(settings, n)}" for n in ("experiments", "upstreams", "state", "listen")
    ]
    become = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"]
    router = subprocess.Popen([*become, sys.executable, "-m", "serving.router", *said])
    try:
        status = wait_for_status(f"http://{settings.listen}")
        assert status["experiments"]["ranking"]["percent"] == {"full": 50}
        answer = httpx.post(f"http://{settings.listen}/v1/models/ranker:predict", content=b"{}")
        assert answer.status_code == 200
    finally:
        router.terminate()
        assert router.wait(20) == 0
    (shipped,) = (deep / "state").rglob("*.parquet")
    assert shipped.stat().st_uid == nobody
    shutil.rmtree(deep.parents[1])


def wait_for_status(url):
    for _ in range(600):
        try:
            answer = httpx.get(f"{url}/status")
            if answer.status_code == 200:
                return answer.json()
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the router does not answer")
