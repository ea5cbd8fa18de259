"""Connections to Redis: many commands in one exchange, to one server or to a cluster's nodes.

The client library finds nodes, authenticates, encrypts and repairs. Between that, commands are
packed and sent here: its own pipelines cost several times what the server takes to answer.
"""

import logging
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import hiredis
import redis
from redis.backoff import ExponentialBackoff
from redis.cluster import RedisCluster
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ClusterError,
    ConnectionError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    TimeoutError,
    TryAgainError,
)
from redis.retry import Retry

from components.store.errors import StoreError

_MENDED_BY_LIBRARY = (
    AskError,
    ClusterDownError,
    ClusterError,
    ConnectionError,
    MovedError,
    TimeoutError,
    TryAgainError,
)
_FAILURES = (RedisError, RedisClusterException, OSError)
_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster")
_SECONDS = 5.0
_LARGE = 1 << 14
"""Bytes from which commands are sent one by one: a copy would cost more than a system call."""
_log = logging.getLogger(__name__)

Command = tuple[Any, ...]


class Wire:
    """One server, or the nodes of a cluster. Threads may share it."""

    def __init__(self, url: str, environment: Mapping[str, str], scripts: Sequence[bytes]):
        """Connect.

        Args:
            url: see `open_store`.
            environment: may name user, password and certificate authority.
            scripts: that will be called by their digest.

        Raises:
            StoreError: the URL is none, or nobody answers there.
        """
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise StoreError(f"{_shown(url)}: takes lmdb: or {'://, '.join(_SCHEMES)}://")
        self.where = _shown(url)
        self._scripts = scripts
        self._local = threading.local()
        self._all: weakref.WeakSet = weakref.WeakSet()
        self.clustered = parts.scheme.endswith("+cluster")
        plain = urlunsplit(parts._replace(scheme=parts.scheme.removesuffix("+cluster")))
        try:
            self._client = self._connect(plain, _settings(parts.scheme, plain, environment))
        except (*_FAILURES, ValueError) as error:
            raise self._told(error) from error

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together, and return their answers in order.

        Commands that reach the same node are carried out in order there.

        Raises:
            StoreError: the server refuses one, or cannot be reached.
        """
        try:
            try:
                return self._exchange(commands)
            except (NoScriptError, *_MENDED_BY_LIBRARY) as error:
                _log.debug("again=%s", error)
                return [self._again(command) for command in commands]
        except _FAILURES as error:
            raise self._told(error) from error

    def pages(self, key: bytes, count: int):
        """Walk over a hash, `count` fields or so at a time.

        Raises:
            StoreError: the server refuses, or cannot be reached.
        """
        cursor = 0
        while True:
            try:
                cursor, page = self._client.hscan(key, cursor=cursor, count=count)
            except _FAILURES as error:
                raise self._told(error) from error
            yield page
            if cursor == 0:
                return

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._all):
            connection.disconnect()
        self._client.close()

    def _connect(self, url: str, settings: dict[str, Any]) -> Any:
        if self.clustered:
            return RedisCluster.from_url(url, **settings)
        client = redis.Redis.from_url(url, **settings)
        client.ping()
        return client

    def _again(self, command: Command) -> Any:
        name, *arguments = command
        try:
            return self._client.execute_command(name.decode(), *arguments)
        except NoScriptError:
            for script in self._scripts:
                self._client.script_load(script)
            return self._client.execute_command(name.decode(), *arguments)

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        if not self.clustered:
            return _talk([(self._connection(self._client), commands)])[0]
        nodes: dict[Any, list[int]] = {}
        for number, command in enumerate(commands):
            nodes.setdefault(self._node(command), []).append(number)
        talks = [
            (self._connection(node), [commands[number] for number in numbers])
            for node, numbers in nodes.items()
        ]
        answers: list[Any] = [None] * len(commands)
        for numbers, some in zip(nodes.values(), _talk(talks), strict=True):
            for number, answer in zip(numbers, some, strict=True):
                answers[number] = answer
        return answers

    def _node(self, command: Command) -> Any:
        key = command[3] if command[0] == b"EVALSHA" else command[1]
        holders = self._client.nodes_manager.slots_cache.get(key_slot(key))
        if not holders:
            raise ClusterDownError(f"no node for {key!r}")
        return self._client.get_redis_connection(holders[0])

    def _connection(self, client: Any) -> Any:
        """A connection that is this thread's own; the library's pools cost a look at the socket."""
        mine = self._local.__dict__
        connection = mine.get(client)
        if connection is None:
            connection = mine[client] = client.connection_pool.make_connection()
            self._all.add(connection)
        return connection

    def _told(self, error: Exception) -> StoreError:
        if isinstance(error, NoPermissionError):
            return StoreError(f"{self.where}: this user may not do that: {error}")
        if isinstance(error, ConnectionError | TimeoutError | RedisClusterException):
            return StoreError(f"{self.where}: cannot be reached: {error}")
        return StoreError(f"{self.where}: {error}")


def _talk(talks: Sequence[tuple[Any, Sequence[Command]]]) -> list[list[Any]]:
    """Send everything before anything is read; no connection is left with half an answer."""
    try:
        for connection, commands in talks:
            packed = [hiredis.pack_command(command) for command in commands]
            small = len(packed[0]) < _LARGE
            connection.send_packed_command([b"".join(packed)] if small else packed)
        return [
            [connection.read_response(disable_decoding=True) for _ in commands]
            for connection, commands in talks
        ]
    except BaseException:
        for connection, _ in talks:
            connection.disconnect()
        raise


def _settings(scheme: str, url: str, environment: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": _SECONDS,
        "socket_connect_timeout": _SECONDS,
        "retry": Retry(ExponentialBackoff(cap=0.1, base=0.02), 2),
    }
    if scheme.startswith("rediss") and environment.get("INTENT_STORE_CA"):
        settings["ssl_ca_certs"] = environment["INTENT_STORE_CA"]
    if urlsplit(url).username is None and environment.get("INTENT_STORE_USER"):
        settings["username"] = environment["INTENT_STORE_USER"]
        settings["password"] = environment.get("INTENT_STORE_PASSWORD")
    return settings


def _shown(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
