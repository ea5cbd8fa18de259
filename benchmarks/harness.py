"""How a benchmark is written: ours and a peer side by side, same data, same threads, one run.

A module `benchmarks/bench_THING.py` offers `BENCHMARKS`, a list of `Benchmark`. The name of each
begins with the thing measured. Its function gets an empty working directory, calls `measure` once
for ours and once for the peer, and returns one `Row` per figure that has a target:

    def sorting(work: Path) -> list[Row]:
        data = measure("benchmarks.bench_sort:generate", target=str(work / "data.npz")).value
        ours = measure("benchmarks.bench_sort:ours", data=data)
        peer = measure("benchmarks.peers.fastsort:sort", python=peer_python("fastsort"), data=data)
        return [
            Row("CPU time", "s", ours.cpu_seconds, peer.cpu_seconds, "fastsort", "ratio <= 0.5"),
            Row("peak memory", "GB", ours.peak_bytes / 1e9, target="ours <= 3"),
        ]

    BENCHMARKS = [Benchmark("sort 1M", sorting)]

`measure` runs `module:function` in a fresh process, so that CPU time and memory are that call's
alone; arguments and result travel as JSON, arrays as .npy or .npz files in the working directory.
A peer that cannot live in our environment gets its own: list its requirements in
`benchmarks/peers/NAME.txt`, put the function in `benchmarks/peers/`, pass `peer_python("NAME")`.

A target is `ours`, `ratio` (ours / peer) or `lead` (ours - peer), then `>=` or `<=`, then a number.
"""

import json
import math
import operator
import os
import platform
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".benchmarks-peers"
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

_COMPARISONS = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a benchmark, and what it has to reach."""

    measure: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str | None = None
    target: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's; None without a peer."""
        return None if self.peer is None else self.ours / self.peer if self.peer else math.inf

    @property
    def met(self) -> bool:
        """Whether the figure reaches its target."""
        subject, comparison, bound = self.target.split()
        lead = None if self.peer is None else self.ours - self.peer
        figure = {"ours": self.ours, "ratio": self.ratio, "lead": lead}[subject]
        if figure is None:
            raise ValueError(f"{self.measure}: target {self.target!r} needs a peer")
        return bool(_COMPARISONS[comparison](figure, float(bound)))

    def record(self, benchmark: str) -> dict[str, Any]:
        """The row as `benchmarks/results` keeps it."""
        return {
            "name": f"{benchmark}: {self.measure}",
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "peer_name": self.peer_name,
            "ratio": self.ratio,
            "target": self.target,
            "met": self.met,
            "machine": machine(),
        }


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named comparison; `run` gets an empty directory that is removed afterwards.

    One that is `full` takes so long that it is run only when `--full` is given.
    """

    name: str
    run: Callable[[Path], list[Row]]
    full: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What a call returned and what it cost."""

    value: Any
    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int


def measure(
    function: str, *, python: Path | str = sys.executable, threads: int = THREADS, **arguments: Any
) -> Measured:
    """Call `module:function` with `arguments` (JSON values) in a process of its own.

    Raises:
        RuntimeError: the call failed; the message holds the end of what it printed.
    """
    pools = ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")
    environment = os.environ | {f"{pool}_NUM_THREADS": str(threads) for pool in pools}
    with tempfile.TemporaryDirectory() as scratch:
        figures = Path(scratch) / "measured.json"
        done = subprocess.run(
            [str(python), "-m", "benchmarks.child", function],
            input=json.dumps(arguments),
            cwd=ROOT,
            env=environment | {"MEASURED": str(figures)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{function} failed:\n{done.stdout[-3000:]}")
        return Measured(**json.loads(figures.read_text()))


def peer_python(name: str) -> Path:
    """Interpreter of a peer's own environment, built when `benchmarks/peers/NAME.txt` changed."""
    wanted = (ROOT / "benchmarks" / "peers" / f"{name}.txt").read_text()
    home = PEERS / name
    built, python = home / "built.txt", home / "bin" / "python"
    if not built.exists() or built.read_text() != wanted:
        venv.create(home, clear=True, with_pip=True)
        requirements = home / "requirements.txt"
        requirements.write_text(wanted)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"peer {name} did not install:\n{done.stderr[-3000:]}")
        requirements.rename(built)
    return python


def machine() -> str:
    """Processor, cores and memory, as one line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{processor}, {THREADS} cores, {memory:.0f} GiB"
