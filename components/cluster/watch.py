"""What changes on a cluster, as it happens."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from components.cluster.client import Kind, send
from components.cluster.errors import ClusterError, Gone, Unreachable

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

BOOKMARK, DELETED, ERROR = "BOOKMARK", "DELETED", "ERROR"
_GONE = 410


def events(
    api: "ApiClient", kind: Kind, *, namespace: str, since: str, seconds: int = 300
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Watch resources of a kind.

    Args:
        api: from `connect`.
        kind: of the resources.
        namespace: of the resources.
        since: the version of the whole that `listed` gave, or an event's resourceVersion.
        seconds: after which the server ends the watch. An API server that goes away without
            closing the connection is noticed some seconds later.

    Yields:
        ADDED, MODIFIED, DELETED or BOOKMARK, and the resource.

    Raises:
        Gone: `since` is too old by now: list anew.
        ClusterError: the watch is refused or breaks off.
    """
    from urllib3.exceptions import HTTPError

    what = f"watching {kind.plural} of {namespace}"
    answer = send(
        api,
        "GET",
        kind.path(namespace),
        what=what,
        query={
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": seconds,
        },
        read=seconds + 15,
        stream=True,
    )
    try:
        for line in _lines(answer):
            event = json.loads(line)
            if event["type"] == ERROR:
                reason = f"{what}: {event['object'].get('message')}"
                raise Gone(reason) if event["object"].get("code") == _GONE else ClusterError(reason)
            named = {"apiVersion": kind.api_version, "kind": kind.kind}
            yield event["type"], {**named, **event["object"]}
    except (HTTPError, OSError, ValueError) as error:
        raise Unreachable(f"{what}: broke off: {error}") from error
    finally:
        answer.close()


def _lines(answer: Any) -> Iterator[bytes]:
    """Cut a stream into lines as they arrive."""
    rest = b""
    for piece in answer.stream(amt=None, decode_content=False):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line for line in whole if line.strip())
