"""A step has the cluster do a job: made or taken over, followed to its end, and cleaned up.

A step may end before its job does. One that is retried goes on following the job that the try
before it made, since both give it the same name. No job outlives its run: it belongs to the
workflow of the step's pod, and a step that is told to stop deletes it, unless the step itself is
only being moved to another machine.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from components.cluster.apply import create, delete, find, listed
from components.cluster.client import (
    EVENT,
    POD,
    SPARK_APPLICATION,
    TRAIN_JOB,
    Kind,
    connect,
    kind_of,
    own_namespace,
    send,
)
from components.cluster.config import CREDENTIALS, JobConfig
from components.cluster.errors import ClusterError, Conflict, Forbidden, Unreachable
from components.cluster.logs import Logs
from components.cluster.reasons import Trouble, troubles, warnings
from components.cluster.sparkapplication import spark_application_pods, spark_application_state
from components.cluster.state import FAILED, SUCCEEDED, State
from components.cluster.trainjob import MANAGER, NODE, train_job_pods, train_job_state
from components.cluster.watch import events
from components.stopping import Stop, stop_signal

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

T = TypeVar("T")
Manifest = Mapping[str, Any]

PATIENCE = 600.0
"""Seconds that the API server may be away."""

RESYNC = 5.0
"""Seconds between two looks at a job's pods, which are listed, not watched."""

_STARTING = 60.0
_DELETION = 300.0
_LOGS, _LAST_WORDS = 30.0, 5.0
_EVENTS = 30.0
_TROUBLES = 10

logger = logging.getLogger(__name__)


def job_labels(step: str) -> dict[str, str]:
    """Return the labels of a job that does a step's work, and of its pods."""
    return {
        "app.kubernetes.io/name": "intent-store",
        "app.kubernetes.io/component": step,
        "app.kubernetes.io/part-of": "intent-store",
        "app.kubernetes.io/managed-by": "intent-store-pipelines",
    }


class JobError(ClusterError):
    """A job failed, did not start or was deleted; the message has every reason that was seen."""


class JobLabels(NamedTuple):
    """How jobs of a kind are read.

    Attributes:
        state: tells how far one has come.
        pods: gives the selector of its pods.
        container: whose log is forwarded.
    """

    state: Callable[[Manifest], State]
    pods: Callable[[str], str]
    container: str


_KINDS = {
    TRAIN_JOB: JobLabels(train_job_state, train_job_pods, NODE),
    SPARK_APPLICATION: JobLabels(
        spark_application_state, spark_application_pods, "spark-kubernetes-driver"
    ),
}


class Launcher:
    """Makes and follows the jobs of one step.

    Args:
        config: where jobs run, how long, and how often they are tried.
        api: the API server; found through the launcher's mounted account when None.
        write: takes every line of what the job says and of what happens to it.
        resync: seconds between two looks at a job's pods.

    Raises:
        ClusterError: there is no API server to use.
    """

    def __init__(
        self,
        config: JobConfig,
        *,
        api: "ApiClient | None" = None,
        write: Callable[[str], None] = print,
        resync: float = RESYNC,
    ):
        self._config, self._write, self._resync = config, write, resync
        self._api = api if api is not None else connect(CREDENTIALS)
        self._namespace = config.namespace or own_namespace(CREDENTIALS)

    def name(self, step: str, *facts: object) -> str:
        """Name a job: alike for every try of a step in a run, and for no other.

        Args:
            step: what the job does.
            facts: everything that decides what comes out; JSON values.
        """
        owner = self._owner()
        known = [owner and owner["uid"], *facts]
        text = json.dumps(known, sort_keys=True, default=str).encode()
        return f"intent-{step}-{hashlib.blake2b(text, digest_size=5).hexdigest()}"

    def run(self, manifest: Manifest) -> None:
        """Have the job of a manifest done.

        Returns once it succeeded and was deleted. A job whose machines were taken away is made anew
        up to `retries` times.

        Raises:
            JobError: it failed; it was deleted unless `keep_failed`.
            ClusterError: the API server refuses, or was away for too long; the job goes on.
            SystemExit: the step was told to stop.
        """
        with stop_signal() as stop:
            for tries_left in range(self._config.retries, -1, -1):
                attempt = _Attempt(
                    self._api, self._namespace, self._config, self._write, self._resync
                )
                job = attempt.create_or_adopt(self._owned(manifest), stop)
                try:
                    attempt.follow(job, stop)
                except _Stopped:
                    self._leave(attempt, job)
                    raise SystemExit(128 + stop.signal) from None
                except JobError as error:
                    again = attempt.taken_away and tries_left > 0
                    if again or not self._config.keep_failed:
                        attempt.delete(job)
                    if not again:
                        raise
                    self._write(f"{error}\ntrying again, {tries_left} times at most")
                else:
                    attempt.delete(job, wait=False)
                    return

    def _leave(self, attempt: "_Attempt", job: Manifest) -> None:
        pod = self._own_pod()
        moved = [] if pod is None else troubles(pod)
        if any(trouble.taken_away for trouble in moved):
            self._write(f"stopped; {job['metadata']['name']} goes on and waits for the next try")
        else:
            attempt.delete(job, wait=False)

    def _owned(self, manifest: Manifest) -> Manifest:
        owner = self._owner()
        if owner is None:
            return manifest
        return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [owner]}}

    def _owner(self) -> dict[str, Any] | None:
        """Return what is to own the job: the workflow whose pod this is, or the pod."""
        pod = self._own_pod()
        if pod is None:
            return None
        for owner in pod["metadata"].get("ownerReferences", []):
            if owner.get("controller"):
                return {name: owner[name] for name in ("apiVersion", "kind", "name", "uid")}
        own = {name: pod["metadata"][name] for name in ("name", "uid")}
        return {"apiVersion": "v1", "kind": "Pod", **own}

    def _own_pod(self) -> dict[str, Any] | None:
        name = os.environ.get("KFP_POD_NAME") or os.environ.get("HOSTNAME", "")
        try:
            found = send(
                self._api,
                "GET",
                POD.path(self._namespace),
                what=f"pod {self._namespace}/{name}",
                query={"fieldSelector": f"metadata.name={name}"},
            )
        except (Forbidden, Unreachable) as error:
            logger.info("own pod unknown pod=%s error=%s", name, error)
            return None
        return next(iter(found["items"]), None)


class _Stopped(Exception):
    """The step was told to stop."""


class _Attempt:
    """One job, from its creation to its end."""

    def __init__(
        self,
        api: "ApiClient",
        namespace: str,
        config: JobConfig,
        write: Callable[[str], None],
        resync: float,
    ):
        self._api, self._namespace, self._config = api, namespace, config
        self._write, self._resync = write, resync
        self._logs = Logs(api, namespace, write)
        self._troubles: dict[str, Trouble] = {}
        self._fatal_since: dict[str, float] = {}
        self._failed_pods: dict[str, None] = {}
        self._started: datetime | None = None
        self._next_events = 0.0
        self._answered = False
        self.taken_away = False

    def create_or_adopt(self, manifest: Manifest, stop: Stop) -> Manifest:
        """Create the job; or take over the one that an earlier try made, unless it failed."""
        kind, name = kind_of(manifest), manifest["metadata"]["name"]
        what = f"{kind.kind} {self._namespace}/{name}"
        while not stop.signal:
            there = self._patiently(lambda: find(self._api, kind, name, namespace=self._namespace))
            if there is None:
                try:
                    made = self._patiently(
                        lambda: create(
                            self._api, manifest, namespace=self._namespace, manager=MANAGER
                        )
                    )
                except Conflict:  # made meanwhile, or by a request whose answer was lost
                    continue
                self._write(f"{what} created")
                return made
            going = "deletionTimestamp" in there["metadata"]
            if not going and _KINDS[kind].state(there).phase != FAILED:
                self._write(f"{what} taken over from an earlier try")
                return there
            self.delete(there)
        raise SystemExit(128 + stop.signal)

    def follow(self, job: Manifest, stop: Stop) -> None:
        """Forward the job's logs until it succeeded.

        Raises:
            JobError: it failed, did not start, ran too long or is gone.
            _Stopped: the step was told to stop.
        """
        kind, metadata = kind_of(job), job["metadata"]
        what = f"{kind.kind} {self._namespace}/{metadata['name']}"
        read = _KINDS[kind]
        phase = ""
        while True:
            now = self._patiently(
                lambda: find(self._api, kind, metadata["name"], namespace=self._namespace)
            )
            if now is None or now["metadata"]["uid"] != metadata["uid"]:
                raise self._failure(f"{what} was deleted by somebody")
            pods = self._patiently(
                lambda: listed(
                    self._api,
                    POD,
                    namespace=self._namespace,
                    labels=read.pods(metadata["name"]),
                )[0]
            )
            for pod in pods:
                self._logs.follow(pod, read.container)
            self._note(pods)
            state = read.state(now)
            if state.phase != phase:
                phase = state.phase
                self._write(f"{what} {phase} {state.reason}".rstrip())
            if state.phase == SUCCEEDED:
                self._logs.close(_LOGS)
                return
            if state.phase == FAILED:
                self._note_events(kind, metadata["name"], always=not self._troubles)
                if state.reason.startswith("DeadlineExceeded"):
                    self.taken_away = False
                raise self._failure(f"{what} failed: {state.reason}")
            if self._started is None:
                self._note_events(kind, metadata["name"])
            self._check_patience(kind, now)
            if stop.signal:
                raise _Stopped
            self._wait(kind, now)

    def delete(self, job: Manifest, *, wait: bool = True) -> None:
        """Delete the job with its pods, and wait until they are gone."""
        kind, name = kind_of(job), job["metadata"]["name"]

        def gone() -> bool:
            return not delete(
                self._api, kind, name, namespace=self._namespace, cascade="Foreground"
            )

        end = time.monotonic() + _DELETION
        while not self._patiently(gone) and wait:
            if time.monotonic() > end:
                raise ClusterError(
                    f"{kind.kind} {self._namespace}/{name}: still there {_DELETION:.0f} s after it "
                    "was deleted"
                )
            time.sleep(min(1.0, self._resync))

    def _note(self, pods: list[dict[str, Any]]) -> None:
        """Write what is wrong with pods, once, and remember it: failed pods are soon gone."""
        fatal = set()
        for pod in pods:
            began = _start(pod)
            if began and (self._started is None or began < self._started):
                self._started = began
            for trouble in troubles(pod):
                if trouble.text not in self._troubles:
                    self._troubles[trouble.text] = trouble
                    self._write(trouble.text)
                if trouble.fatal:
                    fatal.add(pod["metadata"]["uid"])
                self.taken_away |= trouble.taken_away
                self._failed_pods[pod["metadata"]["name"]] = None
        now = time.monotonic()
        self._fatal_since = {uid: self._fatal_since.get(uid, now) for uid in fatal}

    def _note_events(self, kind: Kind, name: str, *, always: bool = False) -> None:
        if not always and time.monotonic() < self._next_events:
            return
        self._next_events = time.monotonic() + _EVENTS
        try:
            found, _ = listed(self._api, EVENT, namespace=self._namespace)
        except ClusterError as error:
            logger.info("events cannot be read error=%s", error)
            return
        for text in warnings(found, [name, f"{kind.kind.lower()}-{name}"]):
            if text not in self._troubles:
                self._troubles[text] = Trouble(text)
                self._write(text)

    def _check_patience(self, kind: Kind, job: Manifest) -> None:
        now, config, name = datetime.now(UTC), self._config, job["metadata"]["name"]
        what = f"{kind.kind} {self._namespace}/{name}"
        stuck = list(self._fatal_since.values())
        if stuck and time.monotonic() - min(stuck) > config.image_timeout:
            raise self._failure(f"{what} did not start within {config.image_timeout} s")
        if self._started is None:
            created = _moment(job["metadata"]["creationTimestamp"])
            if (now - created).total_seconds() > config.start_timeout:
                self._note_events(kind, name, always=True)
                raise self._failure(f"{what} did not start within {config.start_timeout} s")
        elif (now - self._started).total_seconds() > config.timeout:
            self.taken_away = False
            raise self._failure(f"{what} ran for longer than {config.timeout} s")

    def _failure(self, first: str) -> JobError:
        self._logs.close(_LAST_WORDS)
        lines = [first, *list(self._troubles)[-_TROUBLES:]]
        for pod in self._failed_pods:
            said = self._logs.last_lines(pod)
            if said:
                lines += [f"pod {pod} said last:", *(f"  {line}" for line in said)]
                break
        return JobError("\n".join(lines))

    def _wait(self, kind: Kind, job: Manifest) -> None:
        """Return when the job changed, or after `resync` seconds."""
        name, version = job["metadata"]["name"], job["metadata"]["resourceVersion"]
        seconds = max(1, int(self._resync))
        try:
            for _, changed in events(
                self._api, kind, namespace=self._namespace, since=version, seconds=seconds
            ):
                if changed["metadata"].get("name") == name:
                    return
        except ClusterError as error:
            logger.info("watching again error=%s", error)
            time.sleep(min(1.0, self._resync))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask again while the API server is away, or only just back."""
        begin, pause = time.monotonic(), 0.5
        while True:
            try:
                answer = ask()
            except ClusterError as error:
                if time.monotonic() > begin + self._patience(error):
                    raise
                logger.warning("trying again error=%s", error)
            else:
                self._answered = True
                return answer
            time.sleep(pause)
            pause = min(10.0, 2 * pause)

    def _patience(self, error: ClusterError) -> float:
        """Return for how many seconds what went wrong may be thought to pass."""
        if isinstance(error, Unreachable):
            return PATIENCE
        status = getattr(error.__cause__, "status", None)
        if status in (401, 403):
            # A server that starts knows nobody's rights yet; they are known to have been enough.
            return _STARTING if self._answered else 0.0
        return PATIENCE if status in (429, 500, 502, 503, 504) else 0.0


def _start(pod: Manifest) -> datetime | None:
    """Return when a pod's first container started."""
    began = [
        ended["startedAt"]
        for status in pod.get("status", {}).get("containerStatuses", [])
        for ended in status.get("state", {}).values()
        if ended.get("startedAt")
    ]
    return _moment(min(began)) if began else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
