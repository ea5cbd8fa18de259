"""Telling in an experiment's status what becomes of it.

Several replicas of the router write one status, so who writes what is settled:

- `routers` has one entry per replica, which only that replica writes: the revision it splits by and
  the exposures that it counted. Entries of replicas that are gone are taken out after a while.
- Everything else follows from the manifest and the InferenceServices and is the same from each.
  Whoever sees a new generation of the manifest first writes it; about one generation, only the
  replica has a say whose name comes first among those alive. None goes back to an older generation.

Each write is made for the resource as it was read, and made anew when somebody else wrote first.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from components.cluster.apply import listed, patched
from components.cluster.client import EXPERIMENT, INFERENCE_SERVICE
from components.cluster.errors import ClusterError, Forbidden, NotFound
from components.experiments.allocation import segments
from components.experiments.cluster import manifest_of, source_of
from components.experiments.experiments import Experiments
from components.experiments.manifest import Experiment
from serving.router.source import Manifests

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

logger = logging.getLogger(__name__)

MANAGER = "intent-store-router"
"""Who changes experiments and their status, as the API server records it."""

_PAUSE = 1.0  # seconds between two rounds, however much there is to tell
_FRESH, _ALIVE, _GONE = 4, 10, 60  # in rounds: when an entry is renewed, dead, and taken out
_TRIPS = 20
Services = Mapping[str, Mapping[str, Any]]


class View(NamedTuple):
    """What a router does now.

    Attributes:
        manifests: as they were read when it was decided.
        experiments: that requests are split by.
        refused: source of a manifest to the reason.
        away: InferenceService to the reason why it is not asked.
        error: why the whole configuration was refused; None when it was not.
        exposures: experiment to variant to the requests that were given it.
        since: when counting began, ISO 8601.
        trips: guardrails that were broken, as the guard keeps them.
    """

    manifests: Manifests
    experiments: Experiments
    refused: Mapping[str, str]
    away: Mapping[str, str]
    error: str | None
    exposures: Mapping[str, Mapping[str, int]]
    since: str
    trips: Sequence[Mapping[str, Any]]


class Reporter:
    """Writes status in a thread of its own, so that nothing waits for the API server."""

    def __init__(
        self,
        api: "ApiClient",
        namespace: str,
        resources: Callable[[], Mapping[str, Mapping[str, Any]]],
        view: Callable[[], View],
        *,
        name: str,
        every: float,
    ):
        """Begin.

        Args:
            api: from `components.cluster.client.connect`.
            namespace: of the experiments.
            resources: gives the experiments as last seen, by name.
            view: gives what the router does.
            name: of this replica.
            every: seconds between rounds.
        """
        self._api, self._namespace = api, namespace
        self._resources, self._view = resources, view
        self._name, self._every = name, every
        self._failing = False
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def soon(self) -> None:
        """Have the next round begin now."""
        self._wake.set()

    def close(self) -> None:
        """Stop."""
        self._closing.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            try:
                self._round()
                self._failing = False
            except Exception as error:  # Whatever it is, reports must not end.
                if not self._failing:
                    expected = isinstance(error, ClusterError)
                    logger.error("status not told reason=%r", str(error), exc_info=not expected)
                self._failing = True
            self._closing.wait(_PAUSE)
            self._wake.wait(self._every)

    def _round(self) -> None:
        view, services = self._view(), self._services()
        refused = None
        for name, resource in sorted(self._resources().items()):
            if self._change(resource, view, services) is None:
                continue
            try:
                patched(
                    self._api,
                    EXPERIMENT,
                    name,
                    lambda now: self._change(now, view, services),
                    namespace=self._namespace,
                    manager=MANAGER,
                    subresource="status",
                )
            except NotFound:
                continue
            except ClusterError as error:  # One that is refused costs the others nothing.
                refused = error
        if refused is not None:
            raise refused

    def _services(self) -> Services | None:
        """List the InferenceServices; None where they cannot be."""
        try:
            found, _ = listed(self._api, INFERENCE_SERVICE, namespace=self._namespace)
        except (NotFound, Forbidden) as error:
            logger.debug("readiness unknown reason=%r", str(error))
            return None
        return {each["metadata"]["name"]: each for each in found}

    def _change(
        self, resource: Mapping[str, Any], view: View, services: Services | None
    ) -> dict[str, Any] | None:
        """Make the merge patch of a resource's status; None when there is nothing to change."""
        status = resource.get("status") or {}
        moment = datetime.now(UTC)
        routers = {each["name"]: each for each in status.get("routers", ())}
        ages = {name: self._age(each, moment) for name, each in routers.items()}
        entry = _entry(self._name, resource["metadata"]["name"], view)
        changes: dict[str, Any] = {}
        before = routers.get(self._name, {})
        if entry | {"at": before.get("at")} != before or ages[self._name] > _FRESH:
            kept = [e for n, e in routers.items() if n != self._name and ages[n] <= _GONE]
            entry["at"] = moment.isoformat(timespec="seconds")
            changes["routers"] = sorted([*kept, entry], key=lambda each: each["name"])
        alive = {name for name, age in ages.items() if age <= _ALIVE} | {self._name}
        if _may_tell(resource, view, first=min(alive) == self._name):
            told = _told(resource, view, services, moment)
            changes |= {key: value for key, value in told.items() if status.get(key) != value}
        tripped = _tripped(resource, view)
        if tripped != status.get("tripped", []):
            changes["tripped"] = tripped
        return {"status": changes} if changes else None

    def _age(self, entry: Mapping[str, Any], moment: datetime) -> float:
        """Tell how many rounds ago an entry was written."""
        try:
            written = datetime.fromisoformat(entry["at"])
        except (KeyError, ValueError):
            return _GONE + 1
        return (moment - written).total_seconds() / max(self._every, _PAUSE)


def _entry(router: str, experiment: str, view: View) -> dict[str, Any]:
    routed = view.experiments.by_name.get(experiment)
    counts = view.exposures.get(experiment, {})
    return {
        "name": router,
        "since": view.since,
        **({"revision": routed.revision} if routed else {}),
        "exposures": [{"variant": name, "count": counts[name]} for name in sorted(counts)],
    }


def _may_tell(resource: Mapping[str, Any], view: View, *, first: bool) -> bool:
    if view.manifests.get(source_of(resource)) != manifest_of(resource):
        return False  # The router has not looked at this version yet.
    generation = resource["metadata"]["generation"]
    told = (resource.get("status") or {}).get("observedGeneration", 0)
    return generation > told or (generation == told and first)


def _told(
    resource: Mapping[str, Any], view: View, services: Services | None, moment: datetime
) -> dict[str, Any]:
    """Say what every router says alike of a resource."""
    routed = view.experiments.by_name.get(resource["metadata"]["name"])
    variants = _variants(routed, view.away, services) if routed else []
    conditions = [_accepted(resource, routed, view)]
    if routed:
        conditions.append(_ready(variants))
    before = {c["type"]: c for c in (resource.get("status") or {}).get("conditions", ())}
    for condition in conditions:
        same = before.get(condition["type"], {})
        since = same.get("lastTransitionTime")
        if same.get("status") != condition["status"] or since is None:
            since = moment.isoformat(timespec="seconds")
        condition["lastTransitionTime"] = since
        condition["observedGeneration"] = resource["metadata"]["generation"]
    shares = (f"{v['name']} {v['percent']:g}" for v in variants)
    return {
        "observedGeneration": resource["metadata"]["generation"],
        "revision": routed.revision if routed else None,
        "split": ", ".join(shares) or None,
        "variants": variants or None,
        "conditions": conditions,
    }


def _accepted(resource: Mapping[str, Any], routed: Experiment | None, view: View) -> dict[str, Any]:
    if routed is not None and dict(routed.document) == manifest_of(resource):
        return {"type": "Accepted", "status": "True", "reason": "Accepted"}
    why = view.refused.get(source_of(resource)) or view.error or "not taken up yet"
    kept = f"; revision {routed.revision} goes on" if routed else ""
    return {
        "type": "Accepted",
        "status": "False",
        "reason": "Refused",
        "message": (why + kept)[:1024],
    }


def _ready(variants: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    states = {variant["ready"] for variant in variants}
    status = "False" if "False" in states else "Unknown" if "Unknown" in states else "True"
    reasons = [f"{v['name']}: {v['message']}" for v in variants if v.get("message")]
    return {
        "type": "Ready",
        "status": status,
        "reason": {"True": "ServicesReady", "False": "ServiceNotReady"}.get(status, "Unknown"),
        **({"message": "; ".join(reasons)[:1024]} if reasons else {}),
    }


def _variants(
    experiment: Experiment, away: Mapping[str, str], services: Services | None
) -> list[dict[str, Any]]:
    buckets: dict[str, list[str]] = {}
    percents: dict[str, float] = {}
    at = 0
    for run in segments(experiment):
        past = at + round(run.percent * 100)
        buckets.setdefault(run.variant, []).append(f"{at}-{past - 1}")
        percents[run.variant] = percents.get(run.variant, 0.0) + run.percent
        at = past
    found = []
    for variant in experiment.variants:
        ready, message = _readiness(variant.service, away, services)
        found.append(
            {
                "name": variant.name,
                "percent": round(percents.get(variant.name, 0.0), 2),
                "buckets": buckets.get(variant.name, []),
                "ready": ready,
                **({"message": message} if message else {}),
            }
        )
    return found


def _readiness(
    service: str, away: Mapping[str, str], services: Services | None
) -> tuple[str, str | None]:
    if service in away:
        return "False", away[service]
    if services is None:
        return "Unknown", None
    if service not in services:
        return "False", f"{service}: there is no such InferenceService"
    conditions = (services[service].get("status") or {}).get("conditions", ())
    ready: Mapping[str, Any] = next((c for c in conditions if c.get("type") == "Ready"), {})
    status = ready.get("status", "Unknown")
    said = ready.get("message") or ready.get("reason")
    return status, None if status == "True" or not said else f"{service}: {said}"


def _tripped(resource: Mapping[str, Any], view: View) -> list[dict[str, Any]]:
    fields = ("variant", "metric", "reason", "action", "revision", "at")
    name = resource["metadata"]["name"]
    known = list((resource.get("status") or {}).get("tripped", ()))
    own = [{f: trip[f] for f in fields} for trip in view.trips if trip["experiment"] == name]
    new = [trip for trip in own if trip not in known]
    return [*known, *new][-_TRIPS:] if new else known
