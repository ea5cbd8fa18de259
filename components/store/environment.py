"""LMDB environments: opened once in a process, however many stores use them."""

import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import lmdb

from components.store.errors import StoreError

SLOTS = 8
"""Versions that a dataset can have, one being pushed included."""


class Environment(NamedTuple):
    """An open LMDB environment and its sub-databases.

    Attributes:
        path: its directory.
        env: the environment.
        meta: versions, labels, and which version is current.
        deleted: names of deleted members.
        pending: records written to the version that is being pushed.
        slots: records of a version each.
        written: names that were written to in near real time, of a version each.
        longest: bytes a name has at most.
    """

    path: Path
    env: Any
    meta: Any
    deleted: Any
    pending: Any
    slots: list
    written: list
    longest: int


_lock = threading.Lock()
_environments: dict[tuple[int, Path], list] = {}
"""An environment may be open only once in a process; the second item counts its users."""


def open_environment(directory: Path, *, create: bool, map_bytes: int) -> Environment:
    """Open a directory, or return what this process has open already.

    Args:
        directory: of the environment.
        create: make it when it is missing.
        map_bytes: largest size it may grow to.

    Raises:
        StoreError: nothing is there and `create` was not asked for, or it is not readable.
    """
    path = directory.resolve()
    with _lock:
        entry = _environments.get((os.getpid(), path))
        if entry is None:
            entry = _environments[os.getpid(), path] = [_environment(path, create, map_bytes), 0]
        entry[1] += 1
        return entry[0]


def close_environment(opened: Environment) -> None:
    """Close it once nobody in this process uses it any more."""
    with _lock:
        entry = _environments.get((os.getpid(), opened.path))
        if entry is None or entry[0] is not opened:
            return
        entry[1] -= 1
        if entry[1] == 0:
            del _environments[os.getpid(), opened.path]
            opened.env.close()


def _environment(path: Path, create: bool, map_bytes: int) -> Environment:
    there = (path / "data.mdb").exists()
    if not there and not create:
        raise StoreError(f"{path}: no store here; push to it first")
    readonly = there and not os.access(path / "data.mdb", os.W_OK)
    try:
        path.mkdir(parents=True, exist_ok=True)
        env = lmdb.open(
            str(path),
            map_size=map_bytes,
            max_dbs=2 * SLOTS + 3,
            max_readers=2048,
            meminit=False,
            readonly=readonly,
        )
        meta, deleted, pending, slots, written = _databases(env, readonly)
        return Environment(path, env, meta, deleted, pending, slots, written, env.max_key_size())
    except (lmdb.Error, OSError) as error:
        raise StoreError(f"{path}: not readable as a store: {error}") from error


def _databases(env, readonly: bool) -> tuple:
    slots = range(SLOTS)
    names = ["meta", "deleted", "pending", *(f"records-{slot}" for slot in slots)]
    names += [f"written-{slot}" for slot in slots]
    if readonly:
        opened = [env.open_db(name.encode(), create=False) for name in names]
    else:
        with env.begin(write=True) as txn:
            opened = [env.open_db(name.encode(), txn=txn) for name in names]
    return opened[0], opened[1], opened[2], opened[3 : 3 + SLOTS], opened[3 + SLOTS :]
