"""What the pods of a job say, line by line, behind the pod's name."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from components.cluster.client import POD, send
from components.cluster.errors import ClusterError, NotFound

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LAST_LINES = 20
"""That are kept of each pod, for when it fails."""

SILENCE = 300
"""Seconds without a line after which a connection is made anew."""

logger = logging.getLogger(__name__)


class Logs:
    """Followers of pods' logs, one thread each.

    Args:
        api: from `connect`.
        namespace: of the pods.
        write: takes each line.
    """

    def __init__(self, api: "ApiClient", namespace: str, write: Callable[[str], None]):
        self._api, self._namespace, self._write = api, namespace, write
        self._followed: dict[tuple[str, int], _Followed] = {}
        self._last: dict[str, deque[str]] = {}

    def follow(self, pod: Mapping[str, Any], container: str) -> None:
        """Write what a container says, from its start to its end.

        To be called again from time to time: a connection that broke is made anew then, from
        where it broke.
        """
        for status in pod.get("status", {}).get("containerStatuses", []):
            ended = "terminated" in status.get("state", {})
            if status["name"] == container and (ended or "running" in status.get("state", {})):
                key = (pod["metadata"]["uid"], status.get("restartCount", 0))
                self._follow(self._followed.setdefault(key, _Followed()), pod, container, ended)

    def last_lines(self, pod: str) -> list[str]:
        """Return what a pod said last."""
        return list(self._last.get(pod, ()))

    def close(self, seconds: float) -> None:
        """Wait for what is still to be said, at most so long."""
        end = time.monotonic() + seconds
        for followed in self._followed.values():
            if followed.thread:
                followed.thread.join(max(0.0, end - time.monotonic()))

    def _follow(
        self, followed: "_Followed", pod: Mapping[str, Any], container: str, ended: bool
    ) -> None:
        if followed.to_the_end or (followed.thread and followed.thread.is_alive()):
            return
        name = pod["metadata"]["name"]
        followed.thread = threading.Thread(
            target=self._copy, args=(followed, name, container, ended), daemon=True
        )
        followed.thread.start()

    def _copy(self, followed: "_Followed", pod: str, container: str, ended: bool) -> None:
        kept = self._last.setdefault(pod, deque(maxlen=LAST_LINES))
        since = followed.seen
        try:
            for moment, text in self._lines(pod, container, since=since):
                # The server starts at a whole second, so that some lines come again.
                if moment > since:
                    followed.seen = moment
                    kept.append(text)
                    self._write(f"{pod} | {text}")
            # A connection may also be closed in the middle, without an error.
            followed.to_the_end = ended
        except NotFound:
            followed.to_the_end = True
        except ClusterError as error:
            logger.info("log to be followed again pod=%s error=%s", pod, error)

    def _lines(self, pod: str, container: str, *, since: str) -> Iterator[tuple[str, str]]:
        from urllib3.exceptions import HTTPError

        answer = send(
            self._api,
            "GET",
            POD.path(self._namespace, pod, "log"),
            what=f"log of pod {self._namespace}/{pod}",
            query={
                "container": container,
                "follow": "true",
                "timestamps": "true",
                "sinceTime": since,
            },
            read=SILENCE,
            stream=True,
        )
        rest = b""
        try:
            for piece in answer.stream(amt=None, decode_content=False):
                *whole, rest = (rest + piece).split(b"\n")
                yield from map(_split, whole)
            if rest:
                yield _split(rest)
        except (HTTPError, OSError) as error:
            raise ClusterError(f"log of pod {self._namespace}/{pod}: broke off: {error}") from error
        finally:
            answer.close()


class _Followed:
    """How far a container's log was copied."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.seen = ""
        self.to_the_end = False


def _split(line: bytes) -> tuple[str, str]:
    time, _, text = line.decode(errors="replace").partition(" ")
    return time, text
