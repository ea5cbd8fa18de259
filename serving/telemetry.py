"""What is known of every call: metrics by experiment and variant, one log line, one trace."""

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from opentelemetry import propagate, trace
from prometheus_client import Counter, Gauge, Histogram

FORWARDED = ("x-request-id", "x-b3-traceid", "authorization", "baggage")
"""Headers that go along to a predictor, beside the trace, x-intent-* and the unit's."""

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_MOST_PAIRS = 100
_NAMES = ["service", "model", "experiment", "variant"]
_FAST = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)

REQUESTS = Counter("intent_requests", "Requests answered.", [*_NAMES, "protocol", "code"])
SECONDS = Histogram("intent_request_seconds", "Time to the answer.", _NAMES, buckets=_FAST)
INSTANCES = Counter("intent_instances", "Instances answered.", _NAMES)
READY = Gauge("intent_model_ready", "Whether a model answers.", ["model", "version"])
LOADS = Counter("intent_model_loads", "New versions of a model.", ["model", "outcome"])
LOOKUPS = Counter("intent_store_lookups", "Questions to the store.", ["dataset", "outcome"])
BATCH = Histogram(
    "intent_batch_items",
    "Trails encoded together.",
    ["encoder"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)

access = logging.getLogger("intent.access")
_tracer = trace.get_tracer("intent.serving")
_pairs: set[tuple[str, str]] = set()
_exporting = False


@dataclass(slots=True)
class Call:
    """A call being answered; the model fills in who answers it.

    Attributes:
        protocol: "rest" or "grpc".
        headers: or metadata, names in lower case.
        service: of the model that answers; empty before one is found.
        model: that answers.
        instances: of the request.
    """

    protocol: str
    headers: Mapping[str, str]
    service: str = ""
    model: str = ""
    instances: int = 0

    def finish(self, code: str, seconds: float) -> None:
        """Count the call and log it."""
        experiment, variant = self._pair()
        names = self.service, self.model, experiment, variant
        REQUESTS.labels(*names, self.protocol, code).inc()
        SECONDS.labels(*names).observe(seconds)
        if self.instances:
            INSTANCES.labels(*names).inc(self.instances)
        if access.isEnabledFor(logging.INFO):
            access.info(
                "answered",
                extra={
                    "protocol": self.protocol,
                    "code": code,
                    "seconds": round(seconds, 6),
                    "model": self.model,
                    "experiment": experiment,
                    "variant": variant,
                    "instances": self.instances,
                    "request_id": self.headers.get("x-request-id", "")[:128],
                    "trace_id": _trace_id(),
                },
            )

    def _pair(self) -> tuple[str, str]:
        """Return experiment and variant, if they can be labels: callers may write anything."""
        pair = (
            self.headers.get("x-intent-experiment", ""),
            self.headers.get("x-intent-variant", ""),
        )
        if pair in _pairs:
            return pair
        if not all(text == "" or _LABEL.fullmatch(text) for text in pair):
            return "invalid", "invalid"
        if len(_pairs) >= _MOST_PAIRS:
            return "other", "other"
        _pairs.add(pair)
        return pair


CALL: ContextVar[Call | None] = ContextVar("call", default=None)


def note(service: str, model: str, instances: int) -> None:
    """Say who answers the call in hand."""
    call = CALL.get()
    if call is not None:
        call.service, call.model, call.instances = service, model, instances


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[None]:
    """Trace a question to somebody else."""
    if not _exporting:  # what was received goes on as it is
        yield
        return
    kind = trace.SpanKind.CLIENT
    with _tracer.start_as_current_span(name, kind=kind, attributes=attributes):
        yield


@contextmanager
def served(name: str, headers: Mapping[str, str]) -> Iterator[None]:
    """Trace a call that was received, as a part of its caller's trace."""
    if not _exporting and "traceparent" not in headers:
        yield
        return
    context = propagate.extract(headers)
    kind = trace.SpanKind.SERVER
    with _tracer.start_as_current_span(name, context=context, kind=kind):
        yield


def forwarded(headers: Mapping[str, str], unit_header: str) -> dict[str, str]:
    """Return the headers that go along to a predictor: trace, request id, experiment, unit.

    Args:
        headers: that were received, names in lower case.
        unit_header: names the unit of the experiments, in lower case.
    """
    kept = {
        name: value
        for name, value in headers.items()
        if name in FORWARDED or name == unit_header or name.startswith("x-intent-")
    }
    propagate.inject(kept)
    return kept


def start_tracing(service: str) -> None:
    """Export traces, where the environment says whereto (OTEL_EXPORTER_OTLP_ENDPOINT)."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    global _exporting
    _exporting = True


def start_logging(*, access_lines: bool) -> None:
    """Log one JSON object a line to standard error.

    Args:
        access_lines: whether every call has a line; failures have one in any case.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    access.setLevel(logging.INFO if access_lines else logging.WARNING)
    for noisy in ("httpx", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """A record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _PLAIN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


_PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message", "taskName"}


def _trace_id() -> str:
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""
