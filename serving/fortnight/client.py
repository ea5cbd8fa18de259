"""Asks the router as many clients at once would, each request with its member as unit."""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from serving.fortnight.errors import FortnightError

UNIT_HEADER = "x-member-id"
# A failure of the machine's own making, such as a reload that closed an idle connection.
_GONE = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)


class Question(NamedTuple):
    """One instance for a service.

    Attributes:
        unit: value of the unit header, a member id.
        instance: what the service is asked.
    """

    unit: str
    instance: dict[str, Any]


class Reply(NamedTuple):
    """What came back.

    Attributes:
        prediction: the service's answer, or None where there was none.
        status: of HTTP, 0 for a time-out.
        request_id: by which the router logged the exposure.
        experiment: that the unit was in, else "".
        variant: of the experiment.
        seconds: until the answer.
    """

    prediction: dict[str, Any] | None
    status: int
    request_id: str
    experiment: str
    variant: str
    seconds: float


class RouterClient:
    """Connections to one router, one per thread.

    Args:
        url: such as http://127.0.0.1:8080.
        concurrency: requests under way at a time.
        timeout: seconds after which an answer is given up.

    Raises:
        FortnightError: the address is not one.
    """

    def __init__(self, url: str, *, concurrency: int, timeout: float):
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise FortnightError(f"{url}: not an address such as http://127.0.0.1:8080")
        self._url, self._timeout = url, timeout
        self._host, self._port = parts.hostname, parts.port or 80
        self._threads = ThreadPoolExecutor(concurrency)
        self._own = threading.local()
        self._opened: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        """Open nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections."""
        self._threads.shutdown(cancel_futures=True)
        for connection in self._opened:
            connection.close()

    def ask(self, service: str, questions: Sequence[Question]) -> list[Reply]:
        """Ask a service, many questions at once.

        Args:
            service: suggestions, ranker, audience or candidates.
            questions: each goes out as a request of its own.

        Returns:
            A reply per question, in order. A time-out and a status of 5xx are replies too.

        Raises:
            FortnightError: the router is away, or refuses a question (4xx) with the reason.
        """
        path = f"/v1/models/{service}:predict"
        return list(self._threads.map(lambda question: self._ask(path, question), questions))

    def _ask(self, path: str, question: Question) -> Reply:
        body = json.dumps({"instances": [question.instance]}).encode()
        headers = {"Content-Type": "application/json", UNIT_HEADER: question.unit}
        begun = time.perf_counter()
        try:
            response, content = self._send(path, body, headers)
        except TimeoutError:
            self._forget()
            return Reply(None, 0, "", "", "", time.perf_counter() - begun)
        except (OSError, http.client.HTTPException) as error:
            self._forget()
            raise FortnightError(
                f"{self._url}: no router answers ({error!r}): start it with `make serve`"
            ) from error
        taken = time.perf_counter() - begun
        if 400 <= response.status < 500:
            said = content.decode(errors="replace")[:300]
            raise FortnightError(f"{self._url}{path}: refused ({response.status}): {said}")
        return Reply(
            prediction=_prediction(response.status, content),
            status=response.status,
            request_id=response.getheader("x-request-id", ""),
            experiment=response.getheader("x-intent-experiment", ""),
            variant=response.getheader("x-intent-variant", ""),
            seconds=taken,
        )

    def _send(
        self, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        fresh = getattr(self._own, "connection", None) is None
        try:
            return self._send_once(path, body, headers)
        except _GONE:
            # The server closed a connection that was kept open; nobody has read the request.
            if fresh:
                raise
            self._forget()
            return self._send_once(path, body, headers)

    def _send_once(
        self, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
            self._own.connection = connection
            self._opened.append(connection)
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response, response.read()

    def _forget(self) -> None:
        connection = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()
            self._own.connection = None


def _prediction(status: int, content: bytes) -> dict[str, Any] | None:
    if status != http.client.OK:
        return None
    try:
        (prediction,) = json.loads(content)["predictions"]
        return prediction
    except (ValueError, KeyError, TypeError):
        return None
