"""What /metrics says: requests counted from the exposures, and the router's own state."""

import io
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from serving.router.log import ExposureLog, read

LABELS = ("service", "protocol", "experiment", "variant", "served", "reason", "status")
TIMED = ("service", "protocol", "experiment", "served")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BLOCK = 8 << 20


class Counts:
    """Counts of answers since the start, brought up to date whenever they are read."""

    def __init__(self, log: ExposureLog):
        self._log = log
        self._lock = threading.Lock()
        # How far each log was read. A log is known by its first line, which no other has: the inode
        # of one that was shipped is soon another's.
        self._read: dict[bytes, int] = {}
        for path in log.unshipped:
            with path.open("rb") as lines:
                self._read[lines.readline()] = path.stat().st_size
        self._requests: dict[tuple[str, ...], int] = defaultdict(int)
        self._seconds: dict[tuple[str, ...], float] = defaultdict(float)
        self._buckets: dict[tuple[str, ...], np.ndarray] = defaultdict(
            lambda: np.zeros(len(BUCKETS) + 1, np.int64)
        )

    def follow(self) -> None:
        """Count what was logged since the last time; to be called before logs are shipped."""
        with self._lock:
            seen: dict[bytes, int] = {}
            moved = False
            for path in self._log.unshipped:
                try:
                    with path.open("rb") as log:
                        first = log.readline()
                        if not first.endswith(b"\n"):
                            continue  # Nothing whole yet.
                        at = self._read.get(first, 0)
                        for block in _blocks(log, at):
                            self._count(block)
                            at += len(block)
                        seen[first] = at
                except FileNotFoundError:  # Rotated just now: counted under its new name later.
                    moved = True
            self._read = self._read | seen if moved else seen

    def by_experiment(self) -> dict[str, dict[str, int]]:
        """Count the requests that were given each variant of each experiment."""
        self.follow()
        experiment, variant = LABELS.index("experiment"), LABELS.index("variant")
        found: dict[str, dict[str, int]] = {}
        with self._lock:
            for labels, count in self._requests.items():
                if labels[experiment]:
                    of = found.setdefault(labels[experiment], {})
                    of[labels[variant]] = of.get(labels[variant], 0) + count
        return found

    def collect(self) -> Iterator[Metric]:
        """Give the metrics in Prometheus' terms."""
        self.follow()
        requests = CounterMetricFamily(
            "intent_router_requests", "Requests answered.", labels=LABELS
        )
        seconds = HistogramMetricFamily(
            "intent_router_request_seconds", "Time until the answer had gone out.", labels=TIMED
        )
        with self._lock:
            for labels, count in sorted(self._requests.items()):
                requests.add_metric(labels, count)
            for labels, counts in sorted(self._buckets.items()):
                bounds = [*map(str, BUCKETS), "+Inf"]
                whole = np.cumsum(counts).tolist()
                seconds.add_metric(
                    labels, list(zip(bounds, whole, strict=True)), self._seconds[labels]
                )
        yield requests
        yield seconds
        yield CounterMetricFamily(
            "intent_router_exposures_shipped", "Exposures written to Parquet.", self._log.shipped
        )
        yield CounterMetricFamily(
            "intent_router_exposures_bad", "Exposures that could not be read.", self._log.bad
        )

    def _count(self, block: bytes) -> None:
        table = read(block).table
        for row in table.group_by(list(LABELS)).aggregate([([], "count_all")]).to_pylist():
            self._requests[tuple(str(row[name]) for name in LABELS)] += row["count_all"]
        places = np.searchsorted(BUCKETS, table["seconds"].to_numpy(), side="left")
        placed = table.append_column("bucket", pa.array(places))
        grouped = placed.group_by([*TIMED, "bucket"])
        for row in grouped.aggregate([([], "count_all"), ("seconds", "sum")]).to_pylist():
            labels = tuple(row[name] for name in TIMED)
            self._buckets[labels][row["bucket"]] += row["count_all"]
            self._seconds[labels] += row["seconds_sum"]


def nginx_metrics(stub: str) -> Iterable[Metric]:
    """Turn nginx's stub_status into metrics; counters begin anew with each configuration."""
    words = stub.split()
    accepted, handled, asked = (int(word) for word in words[7:10])
    yield CounterMetricFamily("intent_router_connections_accepted", "Since the reload.", accepted)
    yield CounterMetricFamily("intent_router_connections_handled", "Since the reload.", handled)
    yield CounterMetricFamily("intent_router_nginx_requests", "Since the reload.", asked)
    active = GaugeMetricFamily("intent_router_connections", "Open ones.", labels=("state",))
    for state, word in (("active", 2), ("reading", 11), ("writing", 13), ("waiting", 15)):
        active.add_metric((state,), int(words[word]))
    yield active


def _blocks(log: io.BufferedReader, at: int) -> Iterator[bytes]:
    """Read whole lines from an offset on; a line still being written is left for the next time."""
    log.seek(at)
    while block := log.read(_BLOCK):
        whole = block[: block.rfind(b"\n") + 1]
        if not whole:
            return
        yield whole
        at += len(whole)
        log.seek(at)
