"""The router: nginx kept to the manifests, and everything beside the requests themselves."""

import fcntl
import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from components.errors import IntentError
from components.files import whole_file
from serving.router.accept import Accepted, accept, load, save
from serving.router.admin import Admin
from serving.router.counts import Counts, nginx_metrics
from serving.router.errors import RouterError
from serving.router.guard import Guard
from serving.router.log import ExposureLog
from serving.router.names import Names
from serving.router.nginx import Generation, Nginx, stub_status
from serving.router.render import render
from serving.router.report import View
from serving.router.routes import make_routes
from serving.router.settings import Settings
from serving.router.ship import Shipment
from serving.router.source import Away, Manifests, Source, open_source

logger = logging.getLogger(__name__)

ACCEPTED, STATUS = "accepted.json", "status.json"
_RETRY = 10.0


class Router:
    """Routes until it is stopped.

    `start` returns when requests are answered; `run` then blocks until `stop`.
    """

    def __init__(self, settings: Settings, source: Source | None = None):
        """Prepare; nothing is started.

        Args:
            settings: addresses, places and limits.
            source: of the manifests; the settings' when None.

        Raises:
            ClusterError: the manifests are a cluster's, and there is none to connect to.
        """
        self._settings = settings
        self._source = source or open_source(
            settings.experiments, name=settings.name, report_every=settings.report_every
        )
        self._state = settings.state.resolve()
        self._stopping = threading.Event()
        self._accepted = Accepted()
        self._decided: tuple[Manifests, Accepted] = ({}, self._accepted)
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._seen: Any = None
        self._tried = 0.0
        self._text = ""
        self._status: dict[str, Any] = {}
        self._again = False
        self._told: set[str] = set()
        self._writing = threading.Lock()

    def start(self) -> None:
        """Take up what the state directory holds, and answer.

        Raises:
            IntentError: there is nothing to answer with, or an address cannot be listened on.
        """
        self._state.mkdir(parents=True, exist_ok=True)
        self._lock = _only_one(self._state)
        try:
            self._begin()
        except BaseException:
            self._source.close()
            self._lock.close()
            raise
        self._shipment = _shipment(self._settings, self._log)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(self))
        self._admin = Admin(self._state, registry, lambda: self.status)
        self._source.begin_reports(self._view)
        self._housekeeper = threading.Thread(target=self._keep_house, daemon=True)
        self._housekeeper.start()

    def run(self) -> None:
        """Watch manifests, upstreams and nginx until `stop` is called, then end in order."""
        watched = time.monotonic()
        try:
            while not self._stopping.wait(0.05):
                try:
                    self._nginx.look_after()
                    if time.monotonic() - watched >= self._settings.watch_every:
                        watched = time.monotonic()
                        self.apply()
                except (IntentError, OSError) as error:  # A full disk stops no request.
                    logger.error("watching failed reason=%r", str(error))
                    self._stopping.wait(1)
        finally:
            self._stopping.set()
            self._source.close()
            self._names.close()
            self._housekeeper.join()
            self._nginx.stop()
            self._log.rotate(self._nginx.reopen_logs, self._nginx.holds)
            self._log.ship(self._nginx.holds)
            if self._shipment:
                self._shipment.close()
            self._admin.close()
            self._lock.close()
            logger.info("stopped")

    def stop(self) -> None:
        """Have `run` end."""
        self._stopping.set()

    @property
    def status(self) -> dict[str, Any]:
        """What holds, what was refused and why, and what guardrails tripped."""
        return {**self._status, "watch": self._source.problem, "tripped": self._guard.trips}

    @property
    def generations(self) -> list[Generation]:
        """The nginx processes that run, the current one last."""
        return self._nginx.running

    def apply(self) -> None:
        """Bring nginx to what manifests and upstreams say, if that has changed.

        What cannot be used leaves its last good version in place and is named in the status.
        """
        error, manifests = None, self._decided[0]
        try:
            manifests = self._read()
            seen = (
                {place: str(text) for place, text in manifests.items()},
                _content(self._settings.upstreams),
                len(self._guard.trips),
                self._names.version,
            )
            due = self._again and time.monotonic() - self._tried >= _RETRY
            if seen == self._seen and not due:
                return
            self._seen, self._tried = seen, time.monotonic()
            accepted = accept(manifests, self._settings.upstreams, self._accepted, self._names)
            # What was away or refused may have an address by and by.
            self._again = bool(accepted.away or accepted.experiments.rejected)
            error = accepted.error
            self._switch(accepted)
        except IntentError as caught:
            error, self._again = str(caught), True
            if error == self._status.get("error"):
                return
            logger.error("configuration refused reason=%r", error)
        self._decided = manifests, self._accepted
        self._report(error)
        self._source.report_soon()

    def _read(self) -> Manifests:
        """Read the manifests; while their place has never answered, those from before."""
        try:
            return self._source.read()
        except Away:
            before: Manifests = {e.source: e.document for e in self._accepted.experiments}
            if not before:
                raise
            return before

    def _begin(self) -> None:
        """Start nginx with what holds now."""
        settings = self._settings
        self._accepted = load(self._state / ACCEPTED)
        self._nginx = Nginx(settings)
        self._names = Names(self._accepted.hosts)
        try:
            log = ExposureLog(self._state, every=settings.rotate_every, size=settings.rotate_bytes)
            self._log, self._counts = log, Counts(log)
            self._guard = Guard(settings, self._source, log)
            log.ship(self._nginx.holds)
            self.apply()
            if self._nginx.current is None:
                raise RouterError(self._status["error"])
        except BaseException:
            self._names.close()
            self._nginx.stop()
            raise

    def _switch(self, accepted: Accepted) -> None:
        assert accepted.upstreams is not None
        routes = make_routes(
            self._guard.without_ended(accepted.experiments),
            accepted.upstreams,
            away=accepted.away,
            hosts=accepted.hosts,
            grpc=self._settings.grpc_listen is not None,
            may_be_empty=self._source.may_be_empty,
        )
        text = render(routes, self._settings, number=0)
        if text != self._text:
            self._nginx.switch(lambda number: render(routes, self._settings, number=number))
            self._text = text
        self._accepted = accepted
        self._guard.experiments = accepted.experiments
        save(accepted, self._state / ACCEPTED)

    def _report(self, error: str | None) -> None:
        current = self._nginx.current
        self._status = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "generation": current.number if current else None,
            "error": error,
            "experiments": {
                e.name: {
                    "source": e.source,
                    "service": e.service,
                    "revision": e.revision,
                    "control": e.control,
                    "percent": {v.name: v.percent for v in e.treatments},
                    "stopped": e.stopped,
                }
                for e in self._accepted.experiments
            },
            "away": list(self._accepted.away.values()),
            "rejected": [r._asdict() for r in self._accepted.experiments.rejected],
        }
        refused = {r.reason for r in self._accepted.experiments.rejected}
        for reason in sorted(refused - self._told):
            logger.error("manifest refused reason=%r", reason)
        self._told = refused
        self._write_status()

    def _view(self) -> View:
        manifests, accepted = self._decided
        return View(
            manifests=manifests,
            experiments=self._guard.without_ended(accepted.experiments),
            refused={r.source: r.reason for r in accepted.experiments.rejected},
            away=accepted.away,
            error=self._status.get("error"),
            exposures=self._counts.by_experiment(),
            since=self._since,
            trips=self._guard.trips,
        )

    def _write_status(self) -> None:
        with self._writing, whole_file(self._state / STATUS) as aside:
            aside.write_text(json.dumps(self.status, indent=2) + "\n")

    def _keep_house(self) -> None:
        """Rotate, ship and guard beside the watching."""
        guarded = time.monotonic()
        while not self._stopping.wait(0.2):
            try:
                if self._log.due:
                    self._log.rotate(self._nginx.reopen_logs, self._nginx.holds)
                    self._counts.follow()
                    self._log.ship(self._nginx.holds)
                    if self._shipment:
                        self._shipment.soon()
                if time.monotonic() - guarded >= self._settings.guard_every:
                    guarded = time.monotonic()
                    if self._guard.look():
                        self._write_status()
                        self._source.report_soon()
            except Exception:  # Requests are answered, and exposures logged, without it.
                logger.exception("housekeeping failed")
                self._stopping.wait(5)


class _Collector:
    def __init__(self, router: Router):
        self._router = router

    def collect(self) -> Iterator[Metric]:
        router = self._router
        yield from router._counts.collect()
        status = router.status
        yield GaugeMetricFamily(
            "intent_router_generation", "Configurations so far.", status.get("generation") or 0
        )
        refused = len(status.get("rejected", ()))
        yield GaugeMetricFamily("intent_router_manifests_rejected", "Refused now.", refused)
        yield GaugeMetricFamily(
            "intent_router_upstreams_away", "Without address now.", len(status.get("away", ()))
        )
        failing = 1 if status.get("error") else 0
        yield GaugeMetricFamily("intent_router_configuration_failing", "1 when refused.", failing)
        yield GaugeMetricFamily(
            "intent_router_watch_failing",
            "1 while the place of the manifests is away.",
            1 if status["watch"] else 0,
        )
        yield CounterMetricFamily(
            "intent_router_guardrail_trips", "Variants stopped.", len(status["tripped"])
        )
        if router._shipment:
            waiting, dropped = len(router._shipment.waiting), router._shipment.dropped
            yield GaugeMetricFamily(
                "intent_router_exposure_files_waiting", "Not sent yet.", waiting
            )
            yield CounterMetricFamily(
                "intent_router_exposure_files_dropped", "Given up unsent for want of room.", dropped
            )
        share = GaugeMetricFamily(
            "intent_router_variant_percent", "Declared.", labels=("experiment", "variant")
        )
        for name, experiment in status.get("experiments", {}).items():
            for variant, percent in experiment["percent"].items():
                share.add_metric((name, variant), percent)
        yield share
        current = router._nginx.current
        if current is not None:
            try:
                yield from nginx_metrics(stub_status(router._state, current))
            except OSError as error:
                logger.warning("nginx says nothing of itself reason=%r", str(error))


def _shipment(settings: Settings, log: ExposureLog) -> Shipment | None:
    if settings.exposures_to is None:
        return None
    return Shipment(log, settings.exposures_to, name=settings.name, most=settings.most_kept)


def _only_one(state: Path) -> TextIO:
    """Lock the state directory for as long as the file is open, also against a killed process."""
    lock = (state / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise RouterError(f"{state}: another router runs with this state") from error
    return lock


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
