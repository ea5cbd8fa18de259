"""How a router is started."""

import re
import socket
from pathlib import Path

from pydantic import Field, field_validator

from components.config import Config

_ADDRESS = re.compile(r"^(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):\d{1,5}$")


class Settings(Config):
    """Everything the router is told; manifests and upstreams may change while it runs.

    Attributes:
        experiments: directory of Experiment manifests, or kubernetes:NAMESPACE for a cluster's,
            kubernetes: for those of the router's own namespace.
        upstreams: file that says where each InferenceService answers.
        state: directory for everything the router writes: configuration, exposures, status.
        listen: IP address and port for REST.
        grpc_listen: IP address and port for gRPC without TLS; None for none.
        outcomes: directory of outcomes in Parquet that guardrails are judged by, or None.
        exposures_to: directory or gs://bucket/prefix that exposures are shipped to; None to keep
            them in the state directory.
        name: of this router among its replicas, by default the host's.
        workers: nginx worker processes; 0 for one per core.
        control_timeout: seconds the control may take, when nobody can stand in for it.
        keepalive: seconds after which an idle connection of a client is closed.
        most_body: bytes a request may have.
        watch_every: seconds between looks at manifests and upstreams.
        rotate_every: seconds after which exposures are shipped.
        rotate_bytes: size of the exposure log from which it is shipped earlier.
        most_kept: bytes of shipped exposures that stay in the state directory, where they go
            elsewhere too; the oldest go first.
        guard_every: seconds between looks at the guardrails.
        guard_hours: age of the oldest exposures that guardrails look at.
        report_every: seconds between reports in the status of a cluster's experiments.
    """

    experiments: str
    upstreams: Path
    state: Path
    listen: str = "127.0.0.1:8080"
    grpc_listen: str | None = None
    outcomes: Path | None = None
    exposures_to: str | None = None
    name: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9._-]{1,128}$")
    workers: int = Field(default=0, ge=0, le=256)
    control_timeout: float = Field(default=30, gt=0)
    keepalive: float = Field(default=30, ge=1)
    most_body: int = Field(default=1 << 20, gt=0)
    watch_every: float = Field(default=0.5, gt=0)
    rotate_every: float = Field(default=300, gt=0)
    rotate_bytes: int = Field(default=64 << 20, gt=0)
    most_kept: int = Field(default=1 << 30, ge=0)
    guard_every: float = Field(default=30, gt=0)
    guard_hours: float = Field(default=14 * 24, gt=0)
    report_every: float = Field(default=30, gt=0)

    @field_validator("experiments", mode="before")
    @classmethod
    def _is_place(cls, value: object) -> object:
        return str(value) if isinstance(value, Path) else value

    @field_validator("exposures_to", mode="before")
    @classmethod
    def _is_target(cls, value: object) -> object:
        text = None if value is None else str(value)
        if text is not None and ("://" in text and not re.match(r"gs://[a-z0-9]", text)):
            raise ValueError(f"{text!r} is neither a directory nor gs://bucket/prefix")
        return text

    @field_validator("listen", "grpc_listen")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and (not _ADDRESS.match(value) or _port(value) > 65535):
            raise ValueError(f"{value!r} is not an IP address and port such as 127.0.0.1:8080")
        return value


def host_and_port(address: str) -> tuple[str, int]:
    """Split an address as `Settings` takes it."""
    return address.rpartition(":")[0].strip("[]"), _port(address)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
