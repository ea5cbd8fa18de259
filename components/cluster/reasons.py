"""Why a pod does not run, or no longer does, in one line that says what to mend."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

STOPPED_BY_SIGNAL = 128 + 15
NEVER_STARTS = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
    }
)
"""What a container waits for that time alone rarely mends."""

_TAKEN_AWAY = frozenset(
    {"Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"}
)
"""Reasons of a pod's failure that its machine, not its program, gave."""

Manifest = Mapping[str, Any]


class Trouble(NamedTuple):
    """What is wrong with a pod.

    Attributes:
        text: for people.
        fatal: the pod will not start unless somebody mends something.
        taken_away: the machine was wanted for something else, or went away: try again.
    """

    text: str
    fatal: bool = False
    taken_away: bool = False


def troubles(pod: Manifest) -> list[Trouble]:
    """Tell what keeps a pod from starting, or what ended it."""
    found = [*_of_the_pod(pod)]
    status = pod.get("status", {})
    disrupted = _condition(pod, "DisruptionTarget") is not None
    for container in _containers(status):
        found += _of_a_container(pod, container, disrupted=disrupted)
    return found


def has_started(pod: Manifest) -> bool:
    """Whether any of a pod's containers runs or ran, so that it has a log."""
    return any(
        "running" in container.get("state", {}) or "terminated" in container.get("state", {})
        for container in pod.get("status", {}).get("containerStatuses", [])
    )


def warnings(events: Iterable[Manifest], prefixes: Iterable[str]) -> list[str]:
    """Return the newest warning about each thing whose name starts with one of `prefixes`."""
    wanted = tuple(prefixes)
    newest: dict[tuple[str, str], Manifest] = {}
    for event in events:
        about = event["involvedObject"]
        waits = about.get("kind") == "Workload" and event.get("reason") == "Pending"
        if about.get("name", "").startswith(wanted) and (event.get("type") == "Warning" or waits):
            key = about.get("kind", ""), about["name"]
            newest[key] = max(event, newest.get(key, event), key=_time)
    return [
        f"{kind} {name}: {event.get('reason', '')}: {_one_line(event.get('message'))}"
        for (kind, name), event in sorted(newest.items())
    ]


def _of_the_pod(pod: Manifest) -> Iterable[Trouble]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    scheduled = _condition(pod, "PodScheduled", "False")
    if scheduled and status.get("phase") == "Pending":
        why = _one_line(scheduled.get("message"))
        yield Trouble(f"pod {name} has no machine: {scheduled.get('reason', '')}: {why}")
    disrupted = _condition(pod, "DisruptionTarget")
    if disrupted:
        why = f"{disrupted.get('reason', '')}: {_one_line(disrupted.get('message'))}"
        yield Trouble(f"pod {name} lost its machine: {why}", taken_away=True)
    elif status.get("phase") == "Failed" and status.get("reason"):
        reason = status["reason"]
        yield Trouble(
            f"pod {name} failed: {reason}: {_one_line(status.get('message'))}",
            taken_away=reason in _TAKEN_AWAY,
        )


def _of_a_container(pod: Manifest, container: Manifest, *, disrupted: bool) -> Iterable[Trouble]:
    where = f"pod {pod['metadata']['name']}, container {container['name']}"
    state = container.get("state", {})
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason and reason not in ("ContainerCreating", "PodInitializing"):
        said = f": {_one_line(waiting['message'])}" if waiting.get("message") else ""
        yield Trouble(f"{where} does not start: {reason}{said}", fatal=reason in NEVER_STARTS)
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    if ended and ended.get("exitCode"):
        code = ended["exitCode"]
        said = f": {_one_line(ended['message'])}" if ended.get("message") else ""
        hint = "; give it more memory" if ended.get("reason") == "OOMKilled" else ""
        yield Trouble(
            f"{where} ended: {ended.get('reason', 'Error')} (exit code {code}){said}{hint}",
            taken_away=disrupted or code == STOPPED_BY_SIGNAL,
        )


def _containers(status: Manifest) -> list[Manifest]:
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _condition(pod: Manifest, kind: str, value: str = "True") -> Manifest | None:
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == kind and condition["status"] == value:
            return condition
    return None


def _time(event: Manifest) -> str:
    return event.get("lastTimestamp") or event.get("eventTime") or ""


def _one_line(text: object) -> str:
    return " ".join(str(text or "").split())
