"""KServe's data plane over the registry, as REST v1, REST v2 and gRPC, in one event loop."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
import uvicorn
from fastapi import FastAPI, Request, Response
from kserve.errors import InvalidInput, ServerNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.v1_endpoints import register_v1_endpoints
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from prometheus_client import REGISTRY, exposition

from components.config import Config
from serving.edge import Draining, Edge, GrpcEdge, tell_errors
from serving.errors import UnknownModel
from serving.openapi import describe
from serving.registry import Registry, Repository

logger = logging.getLogger(__name__)


class Listening(Config):
    """Where a server listens and how it ends.

    Attributes:
        host: address of both.
        http_port: of REST; 0 takes any.
        grpc_port: of gRPC; None for none, 0 takes any.
        linger: seconds between the signal and the refusal of new connections, in which whoever
            sends requests learns that the server is not ready any more.
        grace: seconds that requests in hand may take.
        watch: seconds between two looks for new versions; 0 for none.
    """

    host: str = "127.0.0.1"
    http_port: int = 8080
    grpc_port: int | None = None
    linger: float = 0.0
    grace: float = 30.0
    watch: float = 2.0


class Plane(DataPlane):
    """KServe's data plane, ready when all models are and nobody asked the server to go."""

    def __init__(self, registry: Registry, draining: Draining):
        super().__init__(model_registry=registry)
        self._registry, self._draining = registry, draining

    async def ready(self) -> bool:
        """Return True.

        Raises:
            ServerNotReady: says which model does not answer and why.
        """
        if self._draining.now:
            raise ServerNotReady("It is shutting down.")
        problems = self._registry.problems()
        if problems:
            name, why = next(iter(problems.items()))
            raise ServerNotReady(f"{name}: {why}")
        return True

    async def model_ready(
        self, model_name: str, disable_predictor_health_check: bool = False
    ) -> bool:
        """Whether a model answers.

        Args:
            model_name: of the model or service.
            disable_predictor_health_check: True when the model is asked next; it says itself why
                it does not answer then.

        Raises:
            UnknownModel: there is none.
        """
        model = self._registry.get_model(model_name)
        if model is None:
            raise UnknownModel(model_name, list(self._registry.get_models()))
        return disable_predictor_health_check or await model.healthy()

    def get_model_from_registry(self, name: str) -> Any:
        """Return a model.

        Raises:
            UnknownModel: there is none.
        """
        model = self._registry.get_model(name)
        if model is None:
            raise UnknownModel(name, list(self._registry.get_models()))
        return model

    async def get_model(self, name: str) -> Any:
        """Return a model to ask.

        Raises:
            UnknownModel: there is none.
        """
        return self.get_model_from_registry(name)

    def decode(self, body: Any, headers: Any, *args: Any, **more: Any) -> Any:
        """Read a request.

        Raises:
            InvalidInput: it is none.
        """
        try:
            return super().decode(body, headers, *args, **more)
        except InvalidInput as error:
            raise InvalidInput(f"body: {error}") from None
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise InvalidInput(f"body: no request of this protocol: {error!r}") from error


def application(registry: Registry, draining: Draining) -> FastAPI:
    """Make the REST application."""
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # the edge has them
    )
    plane, repository = Plane(registry, draining), Repository(registry)

    async def metrics(request: Request) -> Response:
        registry.problems()  # sets the gauges
        encode, kind = exposition.choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), headers={"content-type": kind})

    app.add_api_route("/", plane.live)
    app.add_api_route("/metrics", metrics)
    register_v1_endpoints(app, plane, repository)
    register_v2_endpoints(app, plane, repository)
    tell_errors(app)
    app.openapi = lambda: describe(registry)  # type: ignore[method-assign]
    return app


async def serve(registry: Registry, listening: Listening) -> None:
    """Listen, load all models, and answer until a signal says to stop.

    Raises:
        IntentError: a package cannot be served.
        OSError: a port is taken.
    """
    draining = Draining()
    app = application(registry, draining)
    most = registry.place.limits.body_bytes
    rest = _Rest(
        uvicorn.Config(
            Edge(app, most=most, draining=draining),
            host=listening.host,
            port=listening.http_port,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,  # longer than a router's, which is the one to close
            timeout_graceful_shutdown=int(listening.grace) or 1,
            backlog=2048,
        )
    )
    rpc = None if listening.grpc_port is None else await _grpc(registry, draining, listening)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = asyncio.create_task(rest.serve())
    stopped = asyncio.create_task(stop.wait())
    loading = asyncio.create_task(registry.load_all())
    watching: asyncio.Task | None = None
    try:
        await asyncio.wait({running, stopped, loading}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
            logger.info("ready models=%s", ",".join(registry.get_models()))
            if listening.watch:
                watching = asyncio.create_task(registry.watch(listening.watch))
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        draining.now = True
        if not running.done():
            logger.info("draining linger=%s grace=%s", listening.linger, listening.grace)
            await asyncio.sleep(listening.linger)
    finally:
        for task in (loading, watching, stopped):
            if task is not None:
                task.cancel()
        rest.should_exit = True
        if rpc is not None:
            await rpc.stop(listening.grace)
        await running
    logger.info("stopped")


class _Rest(uvicorn.Server):
    """Uvicorn without signal handlers of its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`."""
        yield


async def _grpc(registry: Registry, draining: Draining, listening: Listening) -> grpc.aio.Server:
    most = registry.place.limits.body_bytes
    server = grpc.aio.server(
        interceptors=[GrpcEdge()],
        options=[("grpc.max_receive_message_length", most), ("grpc.so_reuseport", 0)],
    )
    servicer = InferenceServicer(Plane(registry, draining), Repository(registry))
    grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    address = f"{listening.host}:{listening.grpc_port}"
    if server.add_insecure_port(address) == 0:
        raise OSError(f"{address}: cannot listen there")
    await server.start()
    return server
