"""Experiments as resources of a cluster, watched; what becomes of them is told in their status.

The watch runs in a thread of its own and keeps a copy of every manifest, so that whoever reads
never waits for the API server. It lists, watches from there on, and lists anew from time to time
and whenever the API server no longer knows where it was. While the API server is away the copy
stays as it is, and the tries to reach it come at growing, random intervals, so that many routers
do not come back at the same moment.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from components.cluster.apply import listed
from components.cluster.client import EXPERIMENT
from components.cluster.errors import ClusterError, Gone
from components.cluster.watch import BOOKMARK, DELETED, events
from components.experiments.cluster import Cluster as Place
from components.experiments.cluster import manifest_of, source_of
from components.experiments.manifest import Experiment
from serving.router.report import MANAGER, Reporter, View
from serving.router.source import Away, Manifests

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

logger = logging.getLogger(__name__)

RESYNC = 300.0
"""Seconds after which everything is listed anew, whatever the watch said."""

WATCH = 60
"""Seconds after which the API server ends a watch; the next one goes on where it was."""

SHORTEST, LONGEST = 0.2, 15.0
"""Seconds between tries to reach an API server that is away: the first, and the most."""

_FIRST_LOOK, _LASTING = 10.0, 5.0


class Cluster:
    """The experiments of a namespace; before the first training's end there are none."""

    may_be_empty = True

    def __init__(
        self, connect: "Callable[[], ApiClient]", namespace: str, *, name: str, report_every: float
    ):
        """Begin to watch.

        Args:
            connect: gives a client of the API server; each thread has one of its own.
            namespace: of the experiments.
            name: of this router among its replicas.
            report_every: seconds between reports.

        Raises:
            ClusterError: there is no cluster to connect to.
        """
        self.problem: str | None = "not read yet"
        self._namespace = namespace
        self._name, self._report_every = name, report_every
        self._connect = connect
        self._api = connect()
        self._place = Place(connect(), namespace, manager=MANAGER)
        self._resources: Mapping[str, dict[str, Any]] = {}
        self._synced = False
        self._looked, self._closing = threading.Event(), threading.Event()
        self._reporter: Reporter | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def read(self) -> Manifests:
        """Give the copy; only the first time wait for what the API server says, or that it is away.

        Raises:
            Away: the API server has not answered since the start.
        """
        if not self._synced:
            self._looked.wait(_FIRST_LOOK)
        if not self._synced:
            raise Away(f"kubernetes:{self._namespace}: {self.problem}")
        return {source_of(each): manifest_of(each) for each in self._resources.values()}

    def end_variant(self, experiment: Experiment, variant: str) -> None:
        """Patch the resource, as `Source.end_variant` says."""
        self._place.ramp(experiment.name, variant, 0)

    def begin_reports(self, view: Callable[[], View]) -> None:
        """Tell in the status of the resources what becomes of them."""
        self._reporter = Reporter(
            self._connect(),
            self._namespace,
            lambda: self._resources,
            view,
            name=self._name,
            every=self._report_every,
        )

    def report_soon(self) -> None:
        """Have the next report be made now."""
        if self._reporter:
            self._reporter.soon()

    def close(self) -> None:
        """Stop; a watch that waits for the API server ends by itself."""
        self._closing.set()
        if self._reporter:
            self._reporter.close()

    def _follow(self) -> None:
        wait = SHORTEST
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._list_and_watch()
            except Gone as gone:
                logger.info("listing anew reason=%r", str(gone))
            except Exception as error:  # Whatever it is, the watch must not end.
                expected = isinstance(error, ClusterError)
                if self.problem is None or not self._synced:
                    logger.error("watch broke off reason=%r", str(error), exc_info=not expected)
                self.problem = str(error)
                self._looked.set()
            lasted = time.monotonic() - began
            wait = SHORTEST if lasted > _LASTING else min(wait * 2, LONGEST)
            self._closing.wait(wait * random.uniform(0.5, 1))  # noqa: S311 - not for secrets

    def _list_and_watch(self) -> None:
        found, version = listed(self._api, EXPERIMENT, namespace=self._namespace)
        self._resources = {each["metadata"]["name"]: each for each in found}
        if self.problem is not None:
            logger.info("watching namespace=%s experiments=%d", self._namespace, len(found))
        self.problem, self._synced = None, True
        self._looked.set()
        listed_at = time.monotonic()
        while time.monotonic() - listed_at < RESYNC and not self._closing.is_set():
            watched = events(
                self._api, EXPERIMENT, namespace=self._namespace, since=version, seconds=WATCH
            )
            for kind, resource in watched:
                if self._closing.is_set():
                    return
                version = resource["metadata"]["resourceVersion"]
                if kind != BOOKMARK:
                    self._take(kind, resource)

    def _take(self, kind: str, resource: dict[str, Any]) -> None:
        name = resource["metadata"]["name"]
        others = {key: each for key, each in self._resources.items() if key != name}
        self._resources = others if kind == DELETED else {**others, name: resource}
