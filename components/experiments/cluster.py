"""Experiments as resources of a cluster's namespace.

The rules are held here before anything is sent, those about a change too: an API server that is
old evaluates no CEL. A change is then sent with the version of the resource that it was made for,
and made anew when somebody else was faster, so of two writers neither is lost.

Not by server-side apply: applying needs no look at what is there, but a variant may join only
after those there are and only where the rules leave room for it, which is to be known first; and
whoever applies a percentage owns it, while it is a person's to set. So the 0 that a new variant
begins with is owned by nobody afterwards: a manifest with another percentage meets no conflict when
a person applies it, on the server's side too.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from components.cluster.apply import create, disown, get, listed, patch, patched
from components.cluster.client import EXPERIMENT
from components.cluster.errors import Conflict, NotFound
from components.experiments.changes import (
    Change,
    append,
    changed,
    must_be_treatment,
    new_treatment,
    set_percent,
    stop,
)
from components.experiments.errors import ExperimentsError, Taken
from components.experiments.experiments import Experiments, admit
from components.experiments.manifest import Experiment, check_change, parse
from components.experiments.result import Analysis

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


class Cluster:
    """The experiments of a namespace, as `components.experiments.places.Place` has them."""

    def __init__(self, api: "ApiClient", namespace: str, *, manager: str):
        """Open them; nothing is sent yet.

        Args:
            api: from `components.cluster.client.connect`.
            namespace: of the experiments.
            manager: who makes the changes, as the API server records it.
        """
        self._api = api
        self._namespace = namespace
        self._manager = manager

    def load(self) -> Experiments:
        """List them."""
        found, _ = listed(self._api, EXPERIMENT, namespace=self._namespace)
        return admit({source_of(resource): manifest_of(resource) for resource in found})

    def read(self, name: str) -> Experiment:
        """Get one."""
        try:
            return _parsed(get(self._api, EXPERIMENT, name, namespace=self._namespace))
        except NotFound as error:
            raise ExperimentsError(self._nothing_of(name)) from error

    def where(self, name: str) -> str:
        """Name the resource."""
        return f"Experiment {self._namespace}/{name}"

    def told(self, name: str) -> list[str]:
        """Put the resource's status into words."""
        resource = get(self._api, EXPERIMENT, name, namespace=self._namespace)
        return list(_told(resource.get("status") or {}))

    def ramp(self, name: str, variant: str, percent: float) -> Experiment:
        """Change the treatment's percentage."""

        def change(experiment: Experiment) -> Change:
            must_be_treatment(experiment, variant)
            return set_percent(variant, percent)

        return self._change(name, change)

    def set_stopped(self, name: str, stopped: bool = True) -> Experiment:
        """Change the kill switch."""
        return self._change(name, lambda _: stop(stopped))

    def add_variant(
        self, name: str, variant: str, inference_service: str, *, dry_run: bool = False
    ) -> Experiment:
        """Add a treatment, unless somebody else has added the same meanwhile."""

        def change(experiment: Experiment) -> Change | None:
            there = experiment.by_name.get(variant)
            if there is not None and there.service == inference_service:
                return None
            return append(new_treatment(variant, inference_service))

        found = self._change(name, change, dry_run=dry_run)
        if not dry_run:
            self._disown_percent(name)
        return found

    def begin(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> None:
        """Create the resource."""
        name = manifest["metadata"]["name"]
        parse(manifest, source=self.where(name))
        try:
            create(
                self._api,
                manifest,
                namespace=self._namespace,
                manager=self._manager,
                dry_run=dry_run,
            )
        except Conflict as error:
            raise Taken(f"{self.where(name)}: is there already") from error
        if not dry_run:
            self._disown_percent(name)

    def note_analysis(self, analysis: Analysis) -> bool:
        """Write it into the resource's status."""
        lifts = [c for c in analysis.comparisons if c.metric == analysis.primary]
        status = {
            "revision": analysis.revision,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "verdict": analysis.verdict,
            "metric": analysis.primary,
            "variants": [
                {
                    "name": found.variant,
                    **_finite(lift=found.lift, low=found.always_low, high=found.always_high),
                }
                for found in lifts
            ],
        }
        patch(
            self._api,
            EXPERIMENT,
            analysis.experiment,
            {"status": {"analysis": status}},
            namespace=self._namespace,
            manager=self._manager,
            subresource="status",
        )
        return True

    def _change(
        self,
        name: str,
        decide: Callable[[Experiment], Change | None],
        *,
        dry_run: bool = False,
    ) -> Experiment:
        def edit(resource: dict[str, Any]) -> dict[str, Any] | None:
            old = _parsed(resource)
            change = decide(old)
            if change is None:
                return None
            manifest = changed(manifest_of(resource), change)
            check_change(parse(manifest, source=old.source), old)
            spec = resource["spec"]
            return {"spec": {k: v for k, v in manifest["spec"].items() if spec.get(k) != v}}

        try:
            resource = patched(
                self._api,
                EXPERIMENT,
                name,
                edit,
                namespace=self._namespace,
                manager=self._manager,
                dry_run=dry_run,
            )
        except NotFound as error:
            raise ExperimentsError(self._nothing_of(name)) from error
        return _parsed(resource)

    def _disown_percent(self, name: str) -> None:
        disown(
            self._api,
            EXPERIMENT,
            name,
            "percent",
            namespace=self._namespace,
            manager=self._manager,
        )

    def _nothing_of(self, name: str) -> str:
        found, _ = listed(self._api, EXPERIMENT, namespace=self._namespace)
        there = ", ".join(sorted(resource["metadata"]["name"] for resource in found)) or "none"
        return f"kubernetes:{self._namespace}: no experiment {name}, there is {there}"


def manifest_of(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Leave of a resource what a person's manifest would say: no status, no bookkeeping."""
    return {
        "apiVersion": EXPERIMENT.api_version,
        "kind": EXPERIMENT.kind,
        "metadata": {"name": resource["metadata"]["name"]},
        "spec": resource.get("spec"),
    }


def source_of(resource: Mapping[str, Any]) -> str:
    """Name a resource as messages do."""
    metadata = resource["metadata"]
    return f"Experiment {metadata.get('namespace')}/{metadata['name']}"


def _told(status: Mapping[str, Any]) -> Iterator[str]:
    for condition in status.get("conditions", ()):
        said = condition.get("message", "")
        yield f"{condition['type']}: {condition['status']}{f', {said}' if said else ''}"
    for variant in status.get("variants", ()):
        buckets = ", ".join(variant.get("buckets", ())) or "none"
        yield f"{variant['name']}: {variant.get('percent', 0):g} %, buckets {buckets}"
    for router in status.get("routers", ()):
        counts = router.get("exposures", ())
        said = ", ".join(f"{c['variant']} {c['count']:,}" for c in counts) or "none"
        yield f"exposures of {router['name']} since {router.get('since', 'ever')}: {said}"
    for trip in status.get("tripped", ()):
        yield f"guardrail: {trip['reason']}"
    if verdict := (status.get("analysis") or {}).get("verdict"):
        yield f"last analysis: {verdict}"


def _parsed(resource: Mapping[str, Any]) -> Experiment:
    return parse(manifest_of(resource), source=source_of(resource))


def _finite(**figures: float) -> dict[str, float]:
    return {name: figure for name, figure in figures.items() if math.isfinite(figure)}
