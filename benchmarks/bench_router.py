"""The router against a plain aiohttp proxy, and reloads under load.

Both stand before the same nginx, which answers 0.1 KB at once, and are asked by wrk over 16
connections, with POSTs of 0.5 KB of 10,000 members in turn. Each is one process that passes
requests on; ours beside it counts, ships and watches. The proxy assigns and logs nothing, ours
assigns every unit, writes every exposure and says both in every answer. They take turns, and the
median of the turns counts.

While wrk keeps the router busy, its experiment is ramped every second. Beside wrk, clients that
send nothing twice ask on connections they keep, some at once, some after idling; each answer must
come, and be of the variant that the manifest of the revision it names gives the unit. The peer is
an nginx with the same configuration that is told to reload as often.
"""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import ROOT, Benchmark, Row
from serving.local.binaries import binary

CONNECTIONS, SECONDS, TURNS = 16, 8, 3
RAMPS = (10, 15, 20, 30, 50, 40, 20, 0)
UNITS = 10_000
MOST_IDLE = (0.0, 0.0, 0.05, 0.5, 2.0, 4.0)
"""Seconds that each of the clients idles at most between two requests."""
UNITS_OF_CLIENTS = [f"c{number}" for number in range(len(MOST_IDLE))]
PATH = "/v1/models/ranker:predict"

_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"instances": [{"query": "' .. string.rep("x", 460) .. '", "items": ["j1", "j2"]}]}'
local n, requests = 0, {}
init = function()
  for unit = 1, %d do
    wrk.headers["x-member-id"] = "m" .. unit
    requests[unit] = wrk.format(nil, "%s")
  end
end
request = function()
  n = n %% #requests + 1
  return requests[n]
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {"rate": %%f, "p50": %%f, "p99": %%f, "requests": %%d, "failed": %%d}\\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""
_UPSTREAM = """
daemon off; worker_processes 1; pid up.pid; error_log up.log; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path body; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;
  scgi_temp_path s;
  server {{
    listen 127.0.0.1:{port} reuseport;
    location / {{
      default_type application/json;
      return 200 '{{"predictions": [{{"scores": [0.4, 0.1], "ranked": ["j1", "j2"]}}]}}';
    }}
  }}
}}
"""
_MANIFEST = """\
apiVersion: intent-store.dev/v1alpha1
kind: Experiment
metadata: {name: ranking}
spec:
  service: ranker
  salt: bench-1
  control: plain
  variants:
    - {name: plain, inferenceService: ranker-plain}
    - {name: full, inferenceService: ranker-full, percent: 10}
"""


def against_aiohttp(work: Path) -> list[Row]:
    """Requests per second and latency of both, in turns."""
    with _upstream(work) as upstream, _router(work, upstream) as ours, _proxy(upstream) as peer:
        turns = [(_wrk(work, ours), _wrk(work, peer)) for _ in range(TURNS)]
    failed = sum(turn["failed"] for pair in turns for turn in pair)
    if failed:
        raise RuntimeError(f"{failed} requests failed: no figures")

    def median(place: int, figure: str) -> float:
        return statistics.median(pair[place][figure] for pair in turns)

    def row(measure: str, unit: str, figure: str, target: str) -> Row:
        return Row(measure, unit, median(0, figure), median(1, figure), "aiohttp proxy", target)

    return [
        row("requests per second", "1/s", "rate", "ratio >= 3"),
        row("p50", "ms", "p50", "ratio <= 0.6"),
        row("p99", "ms", "p99", "ratio <= 0.6"),
    ]


def reload_under_load(work: Path) -> list[Row]:
    """Failed requests and units of another variant than their manifest's, while ramping."""
    from components.experiments.edit import ramp
    from components.experiments.experiments import admit

    with _upstream(work) as upstream:
        with _router(work, upstream, keep=True) as address:
            manifest = work / "experiments" / "ranking.yaml"
            held = [admit({"ranking.yaml": manifest.read_text()})]

            def ramped(percent: int) -> None:
                ramp(manifest, "full", percent)
                held.append(admit({"ranking.yaml": manifest.read_text()}))

            ours = _loaded(work, address, ramped)
        with _stock(work, address) as process:
            stock = _loaded(work, address, lambda _: process.send_signal(signal.SIGHUP))
    revisions = {found.by_name["ranking"].revision: found for found in held}
    assigned = {
        revision: dict(zip(UNITS_OF_CLIENTS, found.assign("ranker", UNITS_OF_CLIENTS), strict=True))
        for revision, found in revisions.items()
    }
    seen = {revision for _, revision, _ in ours.answers}
    moved = sum(assigned[rev][unit].variant != variant for unit, rev, variant in ours.answers)
    return [
        Row("reloads that answers came from", "", len(seen), target=f"ours >= {len(set(RAMPS))}"),
        Row("requests answered meanwhile", "", ours.requests, target="ours >= 10000"),
        Row("failed requests", "", ours.failed, stock.failed, "nginx -s reload", "ours <= 0"),
        Row("answers of another variant than the manifest's", "", moved, target="ours <= 0"),
    ]


class _Load(NamedTuple):
    requests: int
    failed: int
    answers: list[tuple[str, str, str]]


def _loaded(work: Path, address: str, change: Callable[[int], None]) -> _Load:
    """Make one change a second under load; answers are (unit, revision, variant)."""
    clients = [
        _Client(address, unit, most) for unit, most in zip(UNITS_OF_CLIENTS, MOST_IDLE, strict=True)
    ]
    for client in clients:
        client.start()
    busy: dict = {}
    wrk = threading.Thread(target=lambda: busy.update(_wrk(work, address, seconds=len(RAMPS) + 4)))
    wrk.start()
    for percent in RAMPS:
        time.sleep(1)
        change(percent)
    wrk.join()
    time.sleep(4)  # Until the last nginx that was replaced has ended.
    for client in clients:
        client.done.set()
    for client in clients:
        client.join()
    answers = [(client.unit, *answer) for client in clients for answer in client.answers]
    failed = busy["failed"] + sum(client.failed for client in clients)
    return _Load(busy["requests"] + len(answers), failed, answers)


class _Client(threading.Thread):
    """Asks on a connection it keeps as long as HTTP lets it, and sends nothing twice."""

    def __init__(self, address: str, unit: str, most_idle: float):
        super().__init__()
        self.unit, self.failed = unit, 0
        self.answers: list[tuple[str, str]] = []
        self.done = threading.Event()
        self._address, self._most_idle, self._random = address, most_idle, random.Random(unit)

    def run(self) -> None:
        connection, leave = None, 0.0
        while not self.done.is_set():
            if connection is None or time.monotonic() > leave:
                connection = http.client.HTTPConnection(self._address, timeout=10)
            try:
                connection.request("POST", PATH, b"{}", {"x-member-id": self.unit})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                self.failed += 1
                connection = None
                continue
            told = answer.headers
            self.failed += answer.status != 200
            self.answers.append((told["x-intent-revision"], told["x-intent-variant"]))
            if told["connection"] == "close":
                connection = None
            else:
                leave = time.monotonic() + float(told["keep-alive"].removeprefix("timeout="))
            self.done.wait(self._random.uniform(0, self._most_idle) if self._most_idle else 0)


def _wrk(work: Path, address: str, *, seconds: int = SECONDS) -> dict:
    script = work / "post.lua"
    script.write_text(_LUA % (UNITS, PATH))
    command = [
        str(binary("wrk")),
        *("-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout", "10s"),
        *("-s", str(script), f"http://{address}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.partition("RESULT ")[2])


@contextmanager
def _upstream(work: Path) -> Iterator[str]:
    port, home = _port(), work / "upstream"
    home.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "up.conf").write_text(_UPSTREAM.format(port=port, user=user))
    command = [str(binary("nginx")), "-p", ".", "-c", "up.conf", "-e", "up.log"]
    with _running(command, port, cwd=home):
        yield f"127.0.0.1:{port}"


@contextmanager
def _router(work: Path, upstream: str, *, keep: bool = False) -> Iterator[str]:
    (work / "experiments").mkdir()
    (work / "experiments" / "ranking.yaml").write_text(_MANIFEST)
    names = ("ranker-plain", "ranker-full")
    lines = [f'{name}: {{http: "{upstream}"}}\n' for name in names]
    (work / "upstreams.yaml").write_text("".join(lines))
    port = _port()
    flags = {
        "experiments": work / "experiments",
        "upstreams": work / "upstreams.yaml",
        "state": work / "state",
        "listen": f"127.0.0.1:{port}",
        "workers": 1,
        "keepalive": 2,
    }
    said = [f"--{flag}={value}" for flag, value in flags.items()]
    with _running([sys.executable, "-m", "serving.router", *said], port, cwd=ROOT):
        first = work / "state" / "gen" / "1" / "nginx.conf"
        while not (work / "state" / "status.json").exists():
            time.sleep(0.05)
        if keep:
            (work / "stock" / "gen" / "1").mkdir(parents=True)
            shutil.copy(first, work / "stock" / "gen" / "1")
        yield f"127.0.0.1:{port}"
    shutil.rmtree(work / "state")


@contextmanager
def _stock(work: Path, address: str) -> Iterator[subprocess.Popen]:
    """Run our first configuration in an nginx that is reloaded in its own way."""
    home = work / "stock"
    for folder in ("tmp", "exposures"):
        (home / folder).mkdir()
    command = [str(binary("nginx")), "-p", ".", "-c", "gen/1/nginx.conf", "-e", "error.log"]
    with _running(command, int(address.rpartition(":")[2]), cwd=home) as process:
        yield process


@contextmanager
def _proxy(upstream: str) -> Iterator[str]:
    port = _port()
    program = ROOT / "benchmarks" / "peers" / "aiohttp_proxy.py"
    command = [sys.executable, str(program), str(port), f"http://{upstream}"]
    with _running(command, port, cwd=ROOT):
        yield f"127.0.0.1:{port}"


@contextmanager
def _running(command: list[str], port: int, cwd: Path) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


BENCHMARKS = [
    Benchmark("router 0.5 KB POST, c=16", against_aiohttp),
    Benchmark("router reload under load", reload_under_load),
]
