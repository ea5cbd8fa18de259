"""Versions: what a dataset holds beside its records, and what a backend does with them.

A backend keeps bytes under names, in versions. What the bytes mean is the business of `Store`, what
a push consists of that of `push`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol

from components.store.errors import StoreError
from components.store.records import Schema

Status = Literal["pushing", "kept", "current", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Version:
    """One pushed state of a dataset.

    Attributes:
        number: counts pushes, those that failed too; never used again.
        model: encoder version that the vectors are of.
        schema: sizes of its records.
        members: how many records were pushed.
        checksum: of the pushed records, as read back before the switch.
        data_time: microseconds UTC; the push holds every action up to it.
        pushed_at: microseconds UTC of the switch, 0 while it is being pushed.
        status: one is "current"; "kept" ones can be returned to; a "withdrawn" one was rolled back.
    """

    number: int
    model: str
    schema: Schema
    members: int
    checksum: str
    data_time: int
    pushed_at: int
    status: Status


class Written(NamedTuple):
    """What became of near-real-time records.

    Attributes:
        versions: number of records that landed, by version number.
        refused: records that landed nowhere: no version of their model, or one as new was there.
        deleted: records of members who were deleted.
    """

    versions: dict[int, int]
    refused: int
    deleted: int


class Started(NamedTuple):
    """A push that goes on.

    Attributes:
        number: of its version.
        token: of whoever may put; the next push takes another, and this one can put no more.
        finished: digests of the shards that an earlier, killed attempt wrote, by shard.
    """

    number: int
    token: str
    finished: dict[int, str]


class Backend(Protocol):
    """Where a dataset's versions lie."""

    parallel: bool
    """Whether several processes may put at a time."""

    def current(self) -> Version | None:
        """Return the version that readers see."""

    def versions(self) -> list[Version]:
        """Return every version, oldest first."""

    def one(self, key: bytes) -> tuple[Version, bytes] | None:
        """Read a value of the current version."""

    def many(self, keys: Sequence[bytes]) -> tuple[Version, Sequence[bytes | None]]:
        """Read values of one version, the current one.

        Raises:
            StoreError: nothing was pushed yet.
        """

    def scan(
        self, batch: int, share: tuple[int, int]
    ) -> Iterator[tuple[Version, list[bytes], list[bytes]]]:
        """Walk over the current version's names and values, part `share[0]` of `share[1]`."""

    def labels(self, number: int) -> bytes | None:
        """Return what the push gave as its labels."""

    def write(
        self, model: str, shape: tuple[int, int, int], keys: list[bytes], values: list[bytes]
    ) -> Written:
        """Put newer values into every version of that model."""

    def delete(self, key: bytes) -> bool:
        """Remove a name everywhere and for good; say whether it was not deleted before."""

    def deleted(self) -> list[bytes]:
        """Return the names deleted, sorted."""

    def begin(self, version: Version, source: str, labels: bytes | None) -> Started:
        """Start a version, or go on with a killed push of the same source; drop other unfinished.

        Whoever pushed before can put no more.
        """

    def put(self, started: Started, keys: list[bytes], values: list[bytes]) -> None:
        """Put values of a version being pushed; deleted names and older values are left out."""

    def check(self, started: Started, keys: list[bytes], values: list[bytes]) -> list[bytes]:
        """Return the names whose value is not in place, though not deleted or made newer since."""

    def finished(self, started: Started, shard: int, digest: str) -> None:
        """Note that a shard is in place and was checked."""

    def switch(self, started: Started, *, members: int, checksum: str, pushed_at: int) -> Version:
        """Make a pushed version the current one, with the records written meanwhile."""

    def roll_back(self) -> Version:
        """Make the kept version before the current one current, and withdraw the latter."""

    def drop(self, number: int) -> None:
        """Remove a version that is not current."""

    def close(self) -> None:
        """Let go of files and connections."""


def encode(version: Version, **more: Any) -> bytes:
    """Version, and what else a backend keeps beside it, as JSON."""
    fields = {name: getattr(version, name) for name in Version.__slots__ if name != "schema"}
    schema = version.schema
    sizes = {"dimension": schema.dimension, "entities": schema.entities}
    fields["schema"] = {**sizes, "surfaces": schema.surfaces}
    return json.dumps(fields | more).encode()


def decode(data: bytes) -> tuple[Version, dict[str, Any]]:
    """Read what `encode` wrote."""
    fields = json.loads(data)
    sizes = fields.pop("schema")
    schema = Schema(sizes["dimension"], sizes["entities"], tuple(sizes["surfaces"]))
    known = {name: fields.pop(name) for name in Version.__slots__ if name != "schema"}
    return Version(schema=schema, **known), fields


def fitting(
    versions: list[tuple[Version, Any]], model: str, shape: tuple[int, int, int]
) -> list[tuple[Version, Any]]:
    """Choose the versions that a model's records can be written to.

    Raises:
        StoreError: there are versions of the model, but none of that shape.
    """
    same = [one for one in versions if one[0].model == model]
    fit = [one for one in same if one[0].schema.shape == shape]
    if same and not fit:
        newest = same[-1][0]
        raise StoreError(
            f"records of {shape} (dimension, surfaces, entities) do not fit version "
            f"{newest.number} of their model: {newest.schema.shape}"
        )
    return fit


def to_expire(versions: list[Version], keep: int) -> list[int]:
    """Choose versions to drop so that `keep` remain: withdrawn ones first, then the oldest."""
    ready = [version for version in versions if version.status != "pushing"]
    worth = sorted(ready, key=lambda one: (one.status != "withdrawn", one.number), reverse=True)
    ranked = sorted(worth, key=lambda one: one.status != "current")
    return [version.number for version in ranked[keep:]]


def with_status(version: Version, status: Status, **fields: Any) -> Version:
    """Same version in another state."""
    return replace(version, status=status, **fields)
