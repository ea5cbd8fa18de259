"""The router against a plain aiohttp proxy, and reloads under load.

Both stand before the same nginx, which answers 0.1 KB at once, and are asked by wrk over 16
connections, with POSTs of 0.5 KB of 10,000 members in turn. Each is one process that passes
requests on; ours beside it counts, ships and watches. The proxy assigns and logs nothing, ours
assigns every unit, writes every exposure and says both in every answer. They take turns, and the
median of the turns counts.

While wrk keeps the router busy, its experiment is ramped every second. Beside wrk, clients that
send nothing twice ask on connections they keep, some at once, some after idling; each answer must
come, and be of the variant that the manifest of the revision it names gives the unit.
"""

import http.client
import json
import random
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import ROOT, Benchmark, Row
from serving.local.binaries import binary

CONNECTIONS, SECONDS, TURNS = 16, 8, 3
RAMPS = (10, 15, 20, 30, 50, 40, 20, 0)
UNITS = 10_000
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

    with _upstream(work) as upstream, _router(work, upstream) as address:
        manifest = work / "experiments" / "ranking.yaml"
        revisions = {}

        def note() -> None:
            text = manifest.read_text()
            found = admit({"ranking.yaml": text})
            revisions[found.by_name["ranking"].revision] = found

        note()
        idle = [0.0, 0.0, 0.05, 0.5, 2.0, 4.0]
        clients = [_Client(address, f"c{n}", most) for n, most in enumerate(idle)]
        for client in clients:
            client.start()
        busy: dict = {}
        wrk = threading.Thread(
            target=lambda: busy.update(_wrk(work, address, seconds=len(RAMPS) + 4))
        )
        wrk.start()
        for percent in RAMPS:
            time.sleep(1)
            ramp(manifest, "full", percent)
            note()
        wrk.join()
        time.sleep(4)  # Until the last nginx that was replaced has ended.
        for client in clients:
            client.done.set()
        for client in clients:
            client.join()
    units = [client.unit for client in clients]
    assigned = {
        revision: dict(zip(units, found.assign("ranker", units), strict=True))
        for revision, found in revisions.items()
    }
    answers = [(c.unit, answer) for c in clients for answer in c.answers]
    seen = {revision for _, (_, revision, _) in answers}
    moved = sum(
        assigned[revision][unit].variant != variant for unit, (_, revision, variant) in answers
    )
    failed = busy["failed"] + sum(c.failed for c in clients)
    failed += sum(status != 200 for _, (status, _, _) in answers)
    total = busy["requests"] + len(answers)
    return [
        Row("reloads that answers came from", "", len(seen), target=f"ours >= {len(set(RAMPS))}"),
        Row("requests answered meanwhile", "", total, target="ours >= 10000"),
        Row("failed requests", "", failed, target="ours <= 0"),
        Row("answers of another variant than the manifest's", "", moved, target="ours <= 0"),
    ]


class _Client(threading.Thread):
    """Asks on a connection it keeps as long as HTTP lets it, and sends nothing twice."""

    def __init__(self, address: str, unit: str, most_idle: float):
        super().__init__()
        self.unit, self.failed = unit, 0
        self.answers: list[tuple[int, str, str]] = []
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
            facts = (answer.status, told["x-intent-revision"], told["x-intent-variant"])
            self.answers.append(facts)
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
    import os

    port, home = _port(), work / "upstream"
    home.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "up.conf").write_text(_UPSTREAM.format(port=port, user=user))
    command = [str(binary("nginx")), "-p", ".", "-c", "up.conf", "-e", "up.log"]
    with _running(command, port, cwd=home):
        yield f"127.0.0.1:{port}"


@contextmanager
def _router(work: Path, upstream: str) -> Iterator[str]:
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
        yield f"127.0.0.1:{port}"
    shutil.rmtree(work / "state")


@contextmanager
def _proxy(upstream: str) -> Iterator[str]:
    port = _port()
    program = ROOT / "benchmarks" / "peers" / "aiohttp_proxy.py"
    command = [sys.executable, str(program), str(port), f"http://{upstream}"]
    with _running(command, port, cwd=ROOT):
        yield f"127.0.0.1:{port}"


@contextmanager
def _running(command: list[str], port: int, cwd: Path) -> Iterator[None]:
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
        yield
    finally:
        process.terminate()
        process.wait(30)


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


BENCHMARKS = [
    Benchmark("router: 0.5 KB POST, c=16", against_aiohttp),
    Benchmark("router: reload under load", reload_under_load),
]
