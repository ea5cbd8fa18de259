"""Host names' addresses, looked up beside the routing so that nothing waits for a name server.

nginx asks for addresses only when it starts. Here they are looked up again and again: a service
that was made anew under another address is followed. While the name server is away, the addresses
it gave last stay; only a name that it says does not exist has none.
"""

import ipaddress
import logging
import socket
import threading
from collections.abc import Collection, Mapping
from typing import NamedTuple

logger = logging.getLogger(__name__)

_EVERY = 10.0
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class Found(NamedTuple):
    """What is known of a host: its addresses, or why there are none."""

    addresses: tuple[str, ...]
    reason: str | None


class Names:
    """Addresses by host.

    Attributes:
        version: another number whenever an address has changed.
    """

    def __init__(self, known: Mapping[str, Collection[str]]):
        """Begin to look up.

        Args:
            known: addresses that hosts had before.
        """
        self.version = 0
        self._found = {host: Found(tuple(addresses), None) for host, addresses in known.items()}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def known(self) -> dict[str, tuple[str, ...]]:
        """Hosts that have addresses."""
        return {host: found.addresses for host, found in self._found.items() if found.addresses}

    def look_up(self, host: str) -> Found:
        """Give what is known of a host; one that is asked for the first time is looked up now."""
        if host not in self._found:
            self._found[host] = resolve(host, None)
        return self._found[host]

    def close(self) -> None:
        """Stop looking up."""
        self._closing.set()

    def _run(self) -> None:
        wait = 0.0  # What was known at the start may be old.
        while not self._closing.wait(wait):
            wait = _EVERY
            for host, before in list(self._found.items()):
                now = resolve(host, before)
                if now != before:
                    logger.info(
                        "host changed host=%s addresses=%s reason=%r",
                        host, ",".join(now.addresses), now.reason,
                    )  # fmt: skip
                    self._found[host] = now
                    self.version += 1


def resolve(host: str, before: Found | None) -> Found:
    """Look a host up.

    Args:
        host: a name or an address.
        before: what was known of it.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return Found((host,), None)
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        if before and before.addresses and error.errno not in _NO_SUCH_NAME:
            return before
        return Found((), f"{host} cannot be resolved: {error}")
    return Found(tuple(sorted({str(answer[4][0]) for answer in answers})), None)
