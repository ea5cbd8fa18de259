"""The outermost layer of both protocols: limits, traces, metrics, one log line, plain errors."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from grpc_interceptor.server import AsyncServerInterceptor
from kserve.errors import (
    InferenceError,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    ServerNotReady,
    UnsupportedProtocol,
)
from starlette.exceptions import HTTPException

from serving.errors import LoadRefused
from serving.telemetry import CALL, Call, served

logger = logging.getLogger(__name__)

CODES: tuple[tuple[type[Exception], int, grpc.StatusCode], ...] = (
    (InvalidInput, 400, grpc.StatusCode.INVALID_ARGUMENT),
    (InferenceError, 400, grpc.StatusCode.INVALID_ARGUMENT),
    (UnsupportedProtocol, 400, grpc.StatusCode.INVALID_ARGUMENT),
    (ModelNotFound, 404, grpc.StatusCode.NOT_FOUND),
    (LoadRefused, 409, grpc.StatusCode.FAILED_PRECONDITION),
    (ModelNotReady, 503, grpc.StatusCode.UNAVAILABLE),
    (ServerNotReady, 503, grpc.StatusCode.UNAVAILABLE),
    (NotImplementedError, 501, grpc.StatusCode.UNIMPLEMENTED),
)
"""What a caller is told of each error; anything else is ours, and is told as no more than that."""

_COUNTED = (":predict", "/infer")


class Draining:
    """Whether the server is on its way out."""

    def __init__(self) -> None:
        self.now = False


class Edge:
    """ASGI layer around the application.

    Args:
        app: to call.
        most: bytes of a body.
        draining: while it is, answers ask the client to come back on another connection.
    """

    def __init__(self, app: Any, *, most: int, draining: Draining):
        self._app, self._most, self._draining = app, most, draining

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        call = Call("rest", headers)
        start, status = time.perf_counter(), 500

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._draining.now:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        token = CALL.set(call)
        try:
            with served(f"{scope['method']} {scope['path'][:100]}", headers):
                body = await self._body(headers, receive)
                if body is None:
                    said = {"error": f"body: longer than {self._most} bytes"}
                    await _send(answer, 413, said)
                else:
                    await self._app(scope, _replay(body, receive), answer)
                if scope["path"].endswith(_COUNTED):
                    call.finish(str(status), time.perf_counter() - start)
        finally:
            CALL.reset(token)

    async def _body(self, headers: dict[str, str], receive: Any) -> bytes | None:
        """Read the whole body, or nothing of one that is too long."""
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._most:
            return None
        pieces: list[bytes] = []
        held = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(pieces)
            pieces.append(message.get("body", b""))
            held += len(pieces[-1])
            if held > self._most:
                return None
            if not message.get("more_body", False):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class GrpcEdge(AsyncServerInterceptor):
    """The same around gRPC calls."""

    async def intercept(
        self, method: Callable, request_or_iterator: Any, context: Any, method_name: str
    ) -> Any:
        """Answer one call."""
        headers = {
            str(name): value if isinstance(value, str) else ""
            for name, value in context.invocation_metadata()
        }
        call = Call("grpc", headers)
        start, code = time.perf_counter(), "OK"
        token = CALL.set(call)
        try:
            with served(method_name, headers):
                try:
                    answer: Any = method(request_or_iterator, context)
                    return await answer if isinstance(answer, Awaitable) else answer
                except Exception as error:
                    known = _known(error)
                    status = known[1] if known else grpc.StatusCode.INTERNAL
                    code = status.name
                    message = str(error) if known else _ours(error)
                    await context.abort(status, message)
                finally:
                    if method_name.endswith("/ModelInfer"):
                        call.finish(code, time.perf_counter() - start)
        finally:
            CALL.reset(token)


def tell_errors(app: FastAPI) -> None:
    """Answer every error as {"error": ...}."""

    async def known(request: Request, error: Exception) -> JSONResponse:
        found = _known(error)
        status = found[0] if found else 500
        return JSONResponse({"error": str(error) if found else _ours(error)}, status)

    async def unread(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"] if isinstance(step, (str, int)))
        return JSONResponse({"error": f"{where}: {first['msg']}"}, 400)

    async def routed(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    for kind, _, _ in CODES:
        app.add_exception_handler(kind, known)
    app.add_exception_handler(Exception, known)
    app.add_exception_handler(RequestValidationError, unread)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, routed)  # type: ignore[arg-type]


def _known(error: Exception) -> tuple[int, grpc.StatusCode] | None:
    for kind, status, code in CODES:
        if isinstance(error, kind):
            return status, code
    return None


def _ours(error: Exception) -> str:
    logger.error("failed error=%r", error, exc_info=error)
    return "internal error; the server's log has it"


def _replay(body: bytes, receive: Any) -> Any:
    sent = False

    async def replay() -> Any:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _send(send: Any, status: int, content: dict[str, str]) -> None:
    body = orjson.dumps(content)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # the rest of the body was not read
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
