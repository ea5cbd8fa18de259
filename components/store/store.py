"""The store: one record per member and version, read by the hundred thousand.

A push (`components.store.push`) writes a version beside the current one and switches to it in one
step; `write` brings single members up to date in between.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.store.errors import StoreError
from components.store.records import (
    BUCKETS,
    Found,
    Record,
    Records,
    checked_keys,
    key_of,
    pack,
    shape_of,
    unpack,
    unpack_one,
)
from components.store.versions import Backend, Version, Written, to_expire

Role = Literal["reader", "writer"]
_log = logging.getLogger(__name__)


class Store:
    """A dataset of a store. Threads may share one; after a fork, open another.

    Every look-up sees one whole version, the current one at that moment.
    """

    def __init__(self, backend: Backend, *, role: Role = "reader"):
        """Use `open_store` instead."""
        self.backend = backend
        self._role = role

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and connections."""
        self.backend.close()

    def current(self) -> Version | None:
        """Return the version that is read; None before the first push."""
        return self.backend.current()

    def versions(self) -> list[Version]:
        """Return every version, oldest first, one being pushed included."""
        return self.backend.versions()

    def get(self, member_id: str) -> Record | None:
        """Look up one member; None for one without record, and before the first push."""
        found = self.backend.one(key_of(member_id))
        if found is None:
            return None
        version, value = found
        return unpack_one(member_id, value, version.schema.shape, version.number)

    def get_many(self, member_ids: Sequence[str]) -> Found:
        """Look up members in one version.

        Raises:
            StoreError: nothing was pushed yet.
        """
        version, values = self.backend.many([key_of(member_id) for member_id in member_ids])
        return _found(version, list(member_ids), values)

    def vectors(self, member_ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Look up members' vectors alone, in one version.

        Returns:
            float32[n, d], zeros where missing, and bool[n]: which were found.

        Raises:
            StoreError: nothing was pushed yet.
        """
        version, values = self.backend.many([key_of(member_id) for member_id in member_ids])
        rows, found = unpack(values, version.schema.shape)
        return rows["vector"].astype(np.float32), found

    def scan(self, *, batch: int = 4096, shard: tuple[int, int] = (0, 1)) -> Iterator[Found]:
        """Read every member of the version that is current at the start.

        Args:
            batch: members at a time, about.
            shard: (number, of how many), for several readers to share the work.

        Raises:
            StoreError: the version was dropped meanwhile, or the shard does not exist.
        """
        number, count = shard
        if not 0 <= number < count <= BUCKETS:
            raise StoreError(f"shard {number} of {count}: there may be {BUCKETS} at most, from 0")
        for version, keys, values in self.backend.scan(batch, shard):
            members = [key.decode("utf-8", "surrogatepass") for key in keys]
            yield _found(version, members, values)

    def write(self, records: Records, *, model: str) -> Written:
        """Bring members up to date, in near real time.

        A record lands on every version made by the same model, the current one and one being
        pushed among them, unless that holds one as new: later `data_times` win, so that writing
        again, or out of order, is harmless.

        Args:
            records: of members, deleted ones are left out.
            model: encoder version of their vectors.

        Raises:
            StoreError: opened as a reader, or the records do not fit the version.
        """
        self._must_write()
        keys = checked_keys(records.member_ids)
        return self.backend.write(model, shape_of(records), keys, pack(records))

    def delete(self, member_id: str) -> bool:
        """Remove a member from every version, and keep it out of all later ones.

        Returns:
            Whether it had not been deleted before.

        Raises:
            StoreError: opened as a reader.
        """
        self._must_write()
        new = self.backend.delete(checked_keys([member_id])[0])
        _log.info("deleted=%d", new)
        return new

    def deleted(self) -> list[str]:
        """Return the members that were deleted, sorted."""
        return [key.decode("utf-8", "surrogatepass") for key in self.backend.deleted()]

    def rollback(self) -> Version:
        """Return at once to the version before the current one, and withdraw the current one.

        Raises:
            StoreError: none is kept, or opened as a reader.
        """
        self._must_write()
        version = self.backend.roll_back()
        _log.info("rolled_back_to=%d model=%s", version.number, version.model)
        return version

    def expire(self, keep: int) -> list[int]:
        """Drop all but `keep` versions: withdrawn ones first, then the oldest; never the current.

        Returns:
            The numbers dropped.

        Raises:
            StoreError: `keep` is below 1, or opened as a reader.
        """
        self._must_write()
        if keep < 1:
            raise StoreError(f"keep {keep}: the current version always stays")
        dropped = to_expire(self.versions(), keep)
        for number in dropped:
            self.backend.drop(number)
        return dropped

    def labels(self, number: int | None = None) -> pa.Table | None:
        """Return a version's labels (id, kind, text); None when it was pushed without.

        Args:
            number: of the version, the current one when not given.
        """
        version = self.current() if number is None else None
        number = version.number if version else number
        data = None if number is None else self.backend.labels(number)
        return None if data is None else pa.ipc.open_file(pa.BufferReader(data)).read_all()

    def _must_write(self) -> None:
        if self._role != "writer":
            raise StoreError('opened as a reader; open_store(..., role="writer") may write')


def open_store(url: str | Path, *, dataset: str, role: Role = "reader") -> Store:
    """Open a dataset of a store.

    Args:
        url: `lmdb:DIRECTORY` (or the directory alone) for the embedded store, or
            `redis://[USER:PASSWORD@]HOST:PORT/DB`, `rediss://` for TLS, `redis+cluster://` and
            `rediss+cluster://` for a Redis Cluster. INTENT_STORE_USER and INTENT_STORE_PASSWORD
            take the place of a user in the URL, INTENT_STORE_CA names the file of a private
            certificate authority.
        dataset: name of the content.
        role: "reader", or "writer" to change anything.

    Raises:
        StoreError: the URL or name cannot be used, or there is nothing to read.
    """
    if not dataset or not dataset.replace("-", "").replace("_", "").isalnum():
        raise StoreError(f"dataset {dataset!r}: takes letters, digits, - and _")
    if "://" not in str(url) or str(url).startswith("lmdb:"):
        from components.store.lmdb import LmdbBackend

        directory = Path(str(url).removeprefix("lmdb:").removeprefix("//")) / dataset
        return Store(LmdbBackend(directory, create=role == "writer"), role=role)
    from components.store.redis import RedisBackend

    return Store(RedisBackend(str(url), dataset, environment=os.environ), role=role)


def _found(version: Version, members: list[str], values: Sequence[bytes | None]) -> Found:
    rows, found = unpack(values, version.schema.shape)
    return Found(
        members,
        rows["vector"].astype(np.float32),
        rows["labels"],
        rows["scores"],
        rows["data_time"].astype(np.int64),
        found,
        version.number,
    )
