"""The embedded backend: memory-mapped files that many processes read and one at a time writes.

Everything of a dataset lies in one LMDB environment, so that each change is one transaction.
Versions take turns in a fixed number of sub-databases (slots): readers open all of them once, and a
version is dropped by emptying its slot. Records written while a version is pushed wait beside it
until the switch, because a push appends in the order of names, which packs pages full.
"""

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

import lmdb
from typing_extensions import override

from components.store.environment import SLOTS, close_environment, open_environment
from components.store.errors import StoreError
from components.store.records import BUCKETS, TIME_BYTES, bucket_of
from components.store.versions import (
    Backend,
    Started,
    Version,
    Written,
    decode,
    encode,
    fitting,
    with_status,
)

_MAP_BYTES = 1 << 38
"""Largest size the file may grow to. Only address space is taken in advance."""
_CURRENT, _NEXT = b"current", b"next"
_VERSION, _LABELS, _SHARD = b"version/", b"labels/", b"shard/"
_log = logging.getLogger(__name__)


class LmdbBackend(Backend):
    """A dataset in a directory."""

    parallel = False

    def __init__(self, directory: Path, *, create: bool = False, map_bytes: int = _MAP_BYTES):
        """Open the directory.

        Raises:
            StoreError: nothing is there and `create` was not asked for, or it is not readable.
        """
        self._opened = open_environment(directory, create=create, map_bytes=map_bytes)
        self._env, self._slots = self._opened.env, self._opened.slots
        self._meta, self._deleted = self._opened.meta, self._opened.deleted
        self._pending, self._written = self._opened.pending, self._opened.written
        self._known: dict[bytes, tuple[Version, Any]] = {}

    @override
    def close(self) -> None:
        close_environment(self._opened)

    @override
    def current(self) -> Version | None:
        with self._reading() as txn:
            number = txn.get(_CURRENT, db=self._meta)
            return None if number is None else self._version(txn, number)[0]

    @override
    def versions(self) -> list[Version]:
        with self._reading() as txn:
            return [version for version, _ in self._all(txn)]

    @override
    def one(self, key: bytes) -> tuple[Version, bytes] | None:
        with self._env.begin() as txn:
            number = txn.get(_CURRENT, db=self._meta)
            if number is None or not 0 < len(key) <= self._opened.longest:
                return None
            version, slot = self._known.get(number) or self._version(txn, number)
            value = txn.get(key, db=slot)
        return None if value is None else (version, value)

    @override
    def many(self, keys: Sequence[bytes]) -> tuple[Version, Sequence[bytes | None]]:
        with self._env.begin() as txn:
            number = txn.get(_CURRENT, db=self._meta)
            if number is None:
                raise StoreError(f"{self._opened.path}: nothing was pushed yet")
            version, slot = self._known.get(number) or self._version(txn, number)
            return version, self._values(txn, slot, keys)

    @override
    def scan(
        self, batch: int, share: tuple[int, int]
    ) -> Iterator[tuple[Version, list[bytes], list[bytes]]]:
        part, of = share
        wanted = {bucket for bucket in range(BUCKETS) if bucket % of == part}
        with self._reading() as txn:
            number = txn.get(_CURRENT, db=self._meta)
        after = b""
        while number is not None:
            keys: list[bytes] = []
            values: list[bytes] = []
            with self._reading() as txn:  # a new one for each batch, so that pages can be re-used
                version, slot = self._version(txn, number)
                cursor = txn.cursor(db=slot)
                more = cursor.set_range(after) if after else cursor.first()
                while more and len(keys) < batch:
                    after = cursor.key() + b"\0"
                    if of == 1 or bucket_of(cursor.key()) in wanted:
                        keys.append(cursor.key())
                        values.append(cursor.value())
                    more = cursor.next()
            if keys:
                yield version, keys, values
            if not more:
                return

    @override
    def labels(self, number: int) -> bytes | None:
        with self._reading() as txn:
            return txn.get(_LABELS + _digits(number), db=self._meta)

    @override
    def write(
        self, model: str, shape: tuple[int, int, int], keys: list[bytes], values: list[bytes]
    ) -> Written:
        with self._writing() as txn:
            alive = [row for row, key in enumerate(keys) if not txn.get(key, db=self._deleted)]
            landed: dict[int, int] = {}
            anywhere: set[int] = set()
            for version, about in fitting(self._all(txn), model, shape):
                pushing = version.status == "pushing"
                target = self._pending if pushing else self._slots[about["slot"]]
                rows = [row for row in alive if _newer(txn, target, keys[row], values[row])]
                for row in rows:
                    txn.put(keys[row], values[row], db=target)
                    if not pushing:
                        txn.put(keys[row], b"", db=self._written[about["slot"]])
                landed[version.number] = len(rows)
                anywhere.update(rows)
            return Written(landed, len(alive) - len(anywhere), len(keys) - len(alive))

    @override
    def delete(self, key: bytes) -> bool:
        with self._writing() as txn:
            for db in (self._pending, *self._slots, *self._written):
                txn.delete(key, db=db)
            return txn.put(key, b"1", db=self._deleted, overwrite=False)

    @override
    def deleted(self) -> list[bytes]:
        with self._reading() as txn:
            return list(txn.cursor(db=self._deleted).iternext(values=False))

    @override
    def begin(self, version: Version, source: str, labels: bytes | None) -> Started:
        token = uuid.uuid4().hex
        self._env.reader_check()
        with self._writing() as txn:
            for unfinished, about in self._all(txn):
                if unfinished.status == "pushing":
                    if about["source"] == source:
                        self._save(txn, unfinished, **about | {"token": token})
                        finished = self._shards(txn, unfinished.number)
                        return Started(unfinished.number, token, finished)
                    self._drop(txn, unfinished, about["slot"])
            number = int(txn.get(_NEXT, db=self._meta, default=b"1"))
            txn.put(_NEXT, str(number + 1).encode(), db=self._meta)
            free = set(range(SLOTS)) - {about["slot"] for _, about in self._all(txn)}
            if not free:
                raise StoreError(f"{self._opened.path}: keeps {SLOTS} versions, expire some first")
            about = {"slot": min(free), "source": source, "token": token}
            started = with_status(version, "pushing", number=number)
            self._save(txn, started, **about)
            if labels is not None:
                txn.put(_LABELS + _digits(number), labels, db=self._meta)
            self._carry(txn, started)
            return Started(number, token, {})

    @override
    def put(self, started: Started, keys: list[bytes], values: list[bytes]) -> None:
        with self._writing() as txn:
            _, about = self._mine(txn, started)
            items = list(zip(keys, values, strict=True))
            if txn.stat(self._deleted)["entries"]:
                items = [item for item in items if not txn.get(item[0], db=self._deleted)]
            cursor = txn.cursor(db=self._slots[about["slot"]])
            append = bool(items) and (not cursor.last() or cursor.key() < items[0][0])
            cursor.putmulti(items, append=append)

    @override
    def check(self, started: Started, keys: list[bytes], values: list[bytes]) -> list[bytes]:
        with self._reading() as txn:
            _, about = self._mine(txn, started)
            stored = self._values(txn, self._slots[about["slot"]], keys)
            if stored == values:
                return []
            return [
                key
                for key, wanted, there in zip(keys, values, stored, strict=True)
                if wanted != there
                and not (there is None and txn.get(key, db=self._deleted) is not None)
            ]

    @override
    def finished(self, started: Started, shard: int, digest: str) -> None:
        with self._writing() as txn:
            self._mine(txn, started)
            txn.put(
                _SHARD + _digits(started.number) + _digits(shard), digest.encode(), db=self._meta
            )

    @override
    def switch(self, started: Started, *, members: int, checksum: str, pushed_at: int) -> Version:
        with self._writing() as txn:
            version, about = self._mine(txn, started)
            number = version.number
            slot, written = self._slots[about["slot"]], self._written[about["slot"]]
            for key, value in txn.cursor(db=self._pending):
                if _newer(txn, slot, key, value):
                    txn.put(key, value, db=slot)
                    txn.put(key, b"", db=written)
            txn.drop(self._pending, delete=False)
            self._forget_shards(txn, number)
            facts = {"members": members, "checksum": checksum, "pushed_at": pushed_at}
            version = with_status(version, "current", **facts)
            self._leave_current(txn, "kept")
            self._save(txn, version, slot=about["slot"])
            txn.put(_CURRENT, str(number).encode(), db=self._meta)
            return version

    @override
    def roll_back(self) -> Version:
        with self._writing() as txn:
            number = int(txn.get(_CURRENT, db=self._meta, default=b"0"))
            kept = [one for one in self._all(txn) if one[0].status == "kept"]
            before = [one for one in kept if one[0].number < number]
            if not before:
                raise StoreError(f"{self._opened.path}: no version before {number} is kept")
            version, about = before[-1]
            self._leave_current(txn, "withdrawn")
            version = with_status(version, "current")
            self._save(txn, version, **about)
            txn.put(_CURRENT, str(version.number).encode(), db=self._meta)
            return version

    @override
    def drop(self, number: int) -> None:
        with self._writing() as txn:
            for version, about in self._all(txn):
                if version.number == number and version.status != "current":
                    self._drop(txn, version, about["slot"])

    def _values(self, txn, slot, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            pairs = txn.cursor(db=slot).getmulti(keys)
        except lmdb.BadValsizeError:
            fit = [key if 0 < len(key) <= self._opened.longest else b"\0" for key in keys]
            pairs = txn.cursor(db=slot).getmulti(fit)
        if len(pairs) == len(keys):
            return list(map(itemgetter(1), pairs))
        return list(map(dict(pairs).get, keys))

    def _version(self, txn, number: bytes) -> tuple[Version, Any]:
        """The version and its records; its state is that of when it was first seen."""
        data = txn.get(_VERSION + _digits(int(number)), db=self._meta)
        if data is None:
            raise StoreError(f"{self._opened.path}: version {int(number)} was dropped meanwhile")
        version, about = decode(data)
        known = version, self._slots[about["slot"]]
        if version.status == "current":
            self._known = {**self._known, number: known}
        return known

    def _all(self, txn) -> list[tuple[Version, dict[str, Any]]]:
        return [decode(data) for _, data in self._below(txn, _VERSION)]

    def _below(self, txn, prefix: bytes) -> list[tuple[bytes, bytes]]:
        cursor, found = txn.cursor(db=self._meta), []
        more = cursor.set_range(prefix)
        while more and cursor.key().startswith(prefix):
            found.append(cursor.item())
            more = cursor.next()
        return found

    def _shards(self, txn, number: int) -> dict[int, str]:
        prefix = _SHARD + _digits(number)
        return {int(key[len(prefix) :]): one.decode() for key, one in self._below(txn, prefix)}

    def _forget_shards(self, txn, number: int) -> None:
        for key, _ in self._below(txn, _SHARD + _digits(number)):
            txn.delete(key, db=self._meta)

    def _mine(self, txn, started: Started) -> tuple[Version, dict[str, Any]]:
        data = txn.get(_VERSION + _digits(started.number), db=self._meta)
        version, about = decode(data) if data else (None, {})
        if version is None or version.status != "pushing" or about["token"] != started.token:
            raise StoreError(f"version {started.number}: another push took its place")
        return version, about

    def _save(self, txn, version: Version, **about: Any) -> None:
        txn.put(_VERSION + _digits(version.number), encode(version, **about), db=self._meta)

    def _leave_current(self, txn, status) -> None:
        for version, about in self._all(txn):
            if version.status == "current":
                self._save(txn, with_status(version, status), **about)

    def _carry(self, txn, started: Version) -> None:
        """Records written to kept versions since the push's data was read go into it as well."""
        for version, about in self._all(txn):
            same = (version.model, version.schema.shape) == (started.model, started.schema.shape)
            if not same or version.status == "pushing":
                continue
            for key in txn.cursor(db=self._written[about["slot"]]).iternext(values=False):
                value = txn.get(key, db=self._slots[about["slot"]])
                if _newer(txn, self._pending, key, value):
                    txn.put(key, value, db=self._pending)

    def _drop(self, txn, version: Version, slot: int) -> None:
        txn.drop(self._slots[slot], delete=False)
        txn.drop(self._written[slot], delete=False)
        if version.status == "pushing":
            txn.drop(self._pending, delete=False)
            self._forget_shards(txn, version.number)
        txn.delete(_VERSION + _digits(version.number), db=self._meta)
        txn.delete(_LABELS + _digits(version.number), db=self._meta)
        _log.info("dropped=%d status=%s", version.number, version.status)

    @contextmanager
    def _reading(self):
        with self._told(), self._env.begin() as txn:
            yield txn

    @contextmanager
    def _writing(self):
        with self._told(), self._env.begin(write=True) as txn:
            yield txn

    @contextmanager
    def _told(self):
        try:
            yield
        except lmdb.MapFullError as error:
            raise StoreError(f"{self._opened.path}: the store's map is full: {error}") from error
        except lmdb.ReadonlyError as error:
            raise StoreError(f"{self._opened.path}: may not be written to") from error
        except lmdb.Error as error:
            raise StoreError(
                f"{self._opened.path}: {error}; nothing was changed; is the disk full?"
            ) from error


def _newer(txn, db, key: bytes, value: bytes) -> bool:
    there = txn.get(key, db=db)
    return there is None or there[:TIME_BYTES] < value[:TIME_BYTES]


def _digits(number: int) -> bytes:
    return b"%012d" % number
