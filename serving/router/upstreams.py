"""Where each InferenceService answers, from a YAML file.

services:                       # who answers for a service that has no experiment
ranker: ranker-no-history
pattern:                        # of those that are not listed; {name} is the InferenceService
http: "{name}-predictor.intent.svc:80"
grpc: "{name}-predictor.intent.svc:80"
ranker-no-history:
http: "127.0.0.1:8081"
grpc: "127.0.0.1:8082"        # needed only when the router listens for gRPC
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import yaml
from pydantic import Field, RootModel, ValidationError, field_validator

from components.config import Config
from serving.router.errors import RouterError

SERVICES = ("encoder", "suggestions", "ranker", "audience", "candidates")

_HOST = re.compile(r"^(?:[A-Za-z0-9{}]([-A-Za-z0-9.{}]*[A-Za-z0-9{}])?|\[[0-9a-fA-F:]+\]):(\d+)$")


class Address(Config):
    """Host and port of a server, per protocol."""

    http: str
    grpc: str | None = None

    @field_validator("http", "grpc")
    @classmethod
    def _has_port(cls, value: str | None) -> str | None:
        if value is not None and not _HOST.match(value):
            raise ValueError(f"{value!r} is not a host and port such as 127.0.0.1:8081")
        if value is not None and not 0 < int(value.rpartition(":")[2]) < 65536:
            raise ValueError(f"{value!r} has no port between 1 and 65535")
        return value


class Upstreams(Config):
    """The file's content.

    Attributes:
        services: service to the InferenceService that answers when it has no experiment.
        pattern: address of InferenceServices that are not listed.
        listed: addresses by InferenceService.
    """

    services: dict[str, str] = Field(default_factory=dict)
    pattern: Address | None = None
    listed: dict[str, Address] = Field(default_factory=dict)

    def address(self, name: str) -> Address:
        """Give the address of an InferenceService.

        Raises:
            RouterError: it is not in the file.
        """
        if name in self.listed:
            return self.listed[name]
        if self.pattern is None:
            known = ", ".join(sorted(self.listed)) or "none"
            raise RouterError(f"{name}: not among the upstreams (there are: {known})")
        parts = self.pattern.model_dump(exclude_none=True)
        return Address(**{key: text.replace("{name}", name) for key, text in parts.items()})


def load_upstreams(path: Path) -> Upstreams:
    """Read the file.

    Raises:
        RouterError: it cannot be read or is not valid; names the field.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict):
            raise RouterError(f"{path}: must be a mapping of InferenceService to addresses")
        special = {key: content.pop(key) for key in ("services", "pattern") if key in content}
        found = Upstreams(**special, listed=_Listed(content).root)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RouterError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RouterError(f"{path}: {field}: {first['msg']}") from error
    unknown = sorted(set(found.services) - set(SERVICES))
    if unknown:
        raise RouterError(f"{path}: services.{unknown[0]}: not one of {', '.join(SERVICES)}")
    for service, name in found.services.items():
        try:
            found.address(name)
        except RouterError as error:
            raise RouterError(f"{path}: services.{service}: {error}") from error
    return found


def host_of(address: str) -> str:
    """Give the host of an address."""
    return address.rpartition(":")[0].strip("[]")


def servers_of(address: str, hosts: Mapping[str, Collection[str]]) -> list[str]:
    """Write out where an address leads: one address and port per server that it names.

    Args:
        address: host and port.
        hosts: addresses by host.
    """
    port = address.rpartition(":")[2]
    found = hosts[host_of(address)]
    return [f"[{each}]:{port}" if ":" in each else f"{each}:{port}" for each in found]


class _Listed(RootModel[dict[str, Address]]):
    pass
