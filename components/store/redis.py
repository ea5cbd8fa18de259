"""The backend for many machines: Redis, one server or a cluster.

Members are spread over BUCKETS hashes a version, `intent:{DATASET/BUCKET}:VERSION`. What belongs to
a bucket shares its hash tag, and so its node: a script changes a member there in one step, in all
versions. What belongs to the dataset as a whole has the tag `{DATASET}`, the name of the current
version among it: that one key is the switch.

Rights that suffice, beside `~intent:*`: readers `+@read +@connection`, writers also
`+@write +@scripting`, both `+cluster` in a cluster. The server must not evict keys without a
time-out (`maxmemory-policy noeviction` or one of the `volatile-` ones).
"""

import json
import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from typing_extensions import override

from components.store.errors import StoreError
from components.store.records import BUCKETS, TIME_BYTES, bucket_of
from components.store.scripts import (
    ALL,
    CARRY,
    DELETE,
    DROP,
    PUBLISH,
    PUT,
    SWITCH,
    WRITE,
)
from components.store.together import Together
from components.store.versions import (
    Backend,
    Started,
    Status,
    Version,
    Written,
    decode,
    encode,
    fitting,
    with_status,
)
from components.store.wire import Wire

_AT_ONCE = 4096
_TRIES = 20
_log = logging.getLogger(__name__)


class RedisBackend(Backend):
    """A dataset in Redis."""

    parallel = True

    def __init__(self, url: str, dataset: str, *, environment: Mapping[str, str]):
        """Connect; see `Wire`."""
        self._wire = Wire(url, environment, ALL)
        name = dataset.encode()
        self._tag = b"intent:{%s}:" % name
        self._buckets = [b"intent:{%s/%d}:" % (name, bucket) for bucket in range(BUCKETS)]
        self._known: dict[bytes, Version] = {}
        self._current = b"", self._buckets
        self._state = b""
        self._shared = Together(self._together)

    @override
    def close(self) -> None:
        self._wire.close()

    @override
    def current(self) -> Version | None:
        number = self._ask(b"GET", b"current")
        return None if number is None else self._version(number)

    @override
    def versions(self) -> list[Version]:
        return [version for version, _ in self._all()]

    @override
    def one(self, key: bytes) -> tuple[Version, bytes] | None:
        return self._shared.ask(key)

    @override
    def many(self, keys: Sequence[bytes]) -> tuple[Version, Sequence[bytes | None]]:
        for _ in range(_TRIES):
            number, records = self._current
            values, now = self._read(records, keys, self._tag + b"current")
            if now is None:
                raise _NothingPushed(f"{self._wire.where}: nothing was pushed yet")
            # Nodes answer in any order; what is missing may have been dropped before.
            if now == number and self._wire.clustered and None in values:
                now = self._ask(b"GET", b"current")
            if now == number:
                return self._version(number), values
            self._current = now, [bucket + now for bucket in self._buckets]
        raise self._too_fast()

    @override
    def scan(
        self, batch: int, share: tuple[int, int]
    ) -> Iterator[tuple[Version, list[bytes], list[bytes]]]:
        part, of = share
        version = self.current()
        if version is None:
            return
        for bucket in self._buckets[part::of]:
            seen: set[bytes] = set()
            for page in self._wire.pages(bucket + b"%d" % version.number, batch):
                new = {name: value for name, value in page.items() if name not in seen}
                seen.update(new)
                if new:
                    yield version, list(new), list(new.values())
            if not self._ask(b"HEXISTS", b"versions", version.number):
                raise StoreError(
                    f"{self._wire.where}: version {version.number} was dropped meanwhile"
                )

    @override
    def labels(self, number: int) -> bytes | None:
        return self._ask(b"GET", b"labels:%d" % number)

    @override
    def write(
        self, model: str, shape: tuple[int, int, int], keys: list[bytes], values: list[bytes]
    ) -> Written:
        landed: Counter[int] = Counter()
        refused, deleted, waiting = 0, 0, list(range(len(keys)))
        for _ in range(_TRIES):
            state = self._state
            versions = fitting(_told(state), model, shape)
            numbers = [version.number for version, _ in versions]
            groups = _grouped(keys, waiting)
            answers = self._wire.ask(
                [
                    WRITE.on(self._touched(bucket, numbers), state, *_pairs(keys, values, rows))
                    for bucket, rows in groups.items()
                ]
            )
            waiting = []
            for rows, answer in zip(groups.values(), answers, strict=True):
                if isinstance(answer[0], bytes):
                    self._state = answer[0]
                    waiting += rows
                    continue
                refused, deleted = refused + answer.count(0), deleted + answer.count(-1)
                for place, number in enumerate(numbers):
                    landed[number] += sum(bits > 0 and bits >> place & 1 for bits in answer)
            if not waiting:
                return Written(dict(landed), refused, deleted)
        raise self._too_fast()

    @override
    def delete(self, key: bytes) -> bool:
        for _ in range(_TRIES):
            state = self._state
            numbers = [version.number for version, _ in _told(state)]
            touched = self._touched(bucket_of(key), numbers)
            (answer,) = self._wire.ask([DELETE.on(touched, state, key)])
            if not isinstance(answer, bytes):
                return bool(answer)
            self._state = answer
        raise self._too_fast()

    @override
    def deleted(self) -> list[bytes]:
        answers = self._wire.ask([(b"SMEMBERS", name + b"deleted") for name in self._buckets])
        return sorted(name for answer in answers for name in answer)

    @override
    def begin(self, version: Version, source: str, labels: bytes | None) -> Started:
        token = uuid.uuid4().hex
        self._ask(b"SET", b"token", token)
        self._own(token)
        self._finish_drops()
        started = None
        for unfinished, about in self._all():
            if unfinished.status == "pushing" and about["source"] == source:
                notes = self._ask(b"SMEMBERS", b"shards:%d" % unfinished.number)
                version, started = unfinished, _resumed(unfinished.number, token, notes)
            elif unfinished.status == "pushing":
                self.drop(unfinished.number)
        if started is None:
            started = Started(self._ask(b"INCR", b"next"), token, {})
            version = with_status(version, "pushing", number=started.number)
            if labels is not None:
                self._ask(b"SET", b"labels:%d" % started.number, labels)
            self._ask(b"HSET", b"versions", started.number, encode(version, source=source))
        self._tell_buckets()
        self._carry(version, started)
        return started

    @override
    def put(self, started: Started, keys: list[bytes], values: list[bytes]) -> None:
        groups = _grouped(keys, range(len(keys)))
        for _ in range(_TRIES):
            answers = self._wire.ask(
                [
                    PUT.on(
                        self._touched(bucket, [started.number], b"token"),
                        started.token,
                        *_pairs(keys, values, rows),
                    )
                    for bucket, rows in groups.items()
                ]
            )
            if -1 not in answers:
                return
            self._insist(started)
        raise self._too_fast()

    @override
    def check(self, started: Started, keys: list[bytes], values: list[bytes]) -> list[bytes]:
        records = [bucket + b"%d" % started.number for bucket in self._buckets]
        stored, _ = self._read(records, keys, self._tag + b"current")
        if stored == values:
            return []
        rows = [row for row, value in enumerate(values) if stored[row] != value]
        commands: list[tuple] = []
        for row in rows:
            bucket = self._buckets[bucket_of(keys[row])]
            commands += [
                (b"SISMEMBER", bucket + b"deleted", keys[row]),
                (b"SISMEMBER", bucket + b"%d:written" % started.number, keys[row]),
            ]
        answers = iter(self._wire.ask(commands))
        wrong = []
        for row, (deleted, written) in zip(rows, zip(answers, answers, strict=True), strict=True):
            there = stored[row]
            if there is None:
                excused = deleted
            else:
                excused = written and there[:TIME_BYTES] >= values[row][:TIME_BYTES]
            if not excused:
                wrong.append(keys[row])
        return wrong

    @override
    def finished(self, started: Started, shard: int, digest: str) -> None:
        self._ask(b"SADD", b"shards:%d" % started.number, f"{shard}:{digest}")

    @override
    def switch(self, started: Started, *, members: int, checksum: str, pushed_at: int) -> Version:
        facts = {"members": members, "checksum": checksum, "pushed_at": pushed_at}
        for _ in range(_TRIES):
            known = {version.number: version for version, _ in self._all()}
            version = known.get(started.number)
            if version is None or version.status != "pushing":
                raise _replaced(started)
            version = with_status(version, "current", **facts)
            if self._switch(version, known, "kept", started.token):
                self._wire.ask([(b"UNLINK", self._tag + b"shards:%d" % version.number)])
                return version
            self._insist(started)
        raise self._too_fast()

    @override
    def roll_back(self) -> Version:
        for _ in range(_TRIES):
            known = {version.number: version for version, _ in self._all()}
            now = int(self._ask(b"GET", b"current") or 0)
            before = [one for one in known.values() if one.status == "kept" and one.number < now]
            if not before:
                raise StoreError(f"{self._wire.where}: no version before {now} is kept")
            version = with_status(before[-1], "current")
            if self._switch(version, known, "withdrawn", ""):
                return version
        raise self._too_fast()

    @override
    def drop(self, number: int) -> None:
        names = [self._tag + name for name in (b"current", b"versions", b"dropping")]
        if self._wire.ask([DROP.on(names, number)]) == [1]:
            self._tell_buckets()
            self._finish_drops()
            _log.info("dropped=%d", number)

    def _together(self, keys: list[bytes]) -> list[tuple[Version, bytes] | None]:
        try:
            version, values = self.many(keys)
        except _NothingPushed:
            return [None] * len(keys)
        return [None if value is None else (version, value) for value in values]

    def _ask(self, command: bytes, name: bytes, *arguments: Any) -> Any:
        return self._wire.ask([(command, self._tag + name, *arguments)])[0]

    def _read(
        self, records: list[bytes], keys: Sequence[bytes], last: bytes
    ) -> tuple[list[bytes | None], bytes | None]:
        """Values of a version, and what a name held once they were read."""
        values: list[bytes | None] = [None] * len(keys)
        answers: list[Any] = []
        for start in range(0, max(len(keys), 1), _AT_ONCE):
            groups = _grouped(keys, range(start, min(start + _AT_ONCE, len(keys))))
            commands: list[tuple] = [
                (b"HMGET", records[bucket], *[keys[row] for row in rows])
                for bucket, rows in groups.items()
            ]
            answers = self._wire.ask([*commands, (b"GET", last)])
            for rows, answer in zip(groups.values(), answers, strict=False):
                for row, value in zip(rows, answer, strict=True):
                    values[row] = value
        return values, answers[-1]

    def _version(self, number: bytes) -> Version:
        version = self._known.get(number)
        if version is None:
            data = self._ask(b"HGET", b"versions", number)
            if data is None:
                raise StoreError(f"{self._wire.where}: version {int(number)} was dropped meanwhile")
            version = decode(data)[0]
            if version.status == "current":
                self._known = {**self._known, number: version}
        return version

    def _all(self) -> list[tuple[Version, dict[str, Any]]]:
        found = [decode(data) for data in self._ask(b"HVALS", b"versions")]
        return sorted(found, key=lambda one: one[0].number)

    def _touched(self, bucket: int, numbers: list[int], first: bytes = b"state") -> list[bytes]:
        name = self._buckets[bucket]
        per_version = ((name + b"%d" % one, name + b"%d:written" % one) for one in numbers)
        return [name + first, name + b"deleted", *(key for pair in per_version for key in pair)]

    def _tell_buckets(self) -> None:
        """Let every bucket know the versions, so that records are written to all of them."""
        revision = self._ask(b"INCR", b"revision")
        versions = [encode(version).decode() for version, _ in self._all()]
        state = f"{revision} [{','.join(versions)}]"
        names = ([name + b"state"] for name in self._buckets)
        self._wire.ask([PUBLISH.on(name, revision, state) for name in names])

    def _own(self, token: str) -> None:
        self._wire.ask([(b"SET", name + b"token", token) for name in self._buckets])

    def _insist(self, started: Started) -> None:
        """Two that began at a time may each hold some buckets; the later one gets them all."""
        if self._ask(b"GET", b"token") != started.token.encode():
            raise _replaced(started)
        self._own(started.token)

    def _carry(self, version: Version, started: Started) -> None:
        """Records written to kept versions since the push's data was read go into it as well."""
        for other, _ in self._all():
            same = (other.model, other.schema.shape) == (version.model, version.schema.shape)
            if same and other.status != "pushing":
                commands = []
                for bucket in range(BUCKETS):
                    token, _, *touched = self._touched(
                        bucket, [other.number, started.number], b"token"
                    )
                    commands.append(CARRY.on([token, *touched], started.token, version.data_time))
                self._wire.ask(commands)

    def _switch(
        self, version: Version, known: dict[int, Version], leave: Status, token: str
    ) -> bool:
        left = [with_status(one, leave) for one in known.values() if one.status == "current"]
        names = [self._tag + name for name in (b"current", b"versions", b"token")]
        changed = [part for one in (version, *left) for part in (one.number, encode(one))]
        before = left[0].number if left else b""
        switch = SWITCH.on(names, token, before, version.number, *changed)
        (answer,) = self._wire.ask([switch])
        return answer == 1

    def _finish_drops(self) -> None:
        for number in self._ask(b"SMEMBERS", b"dropping"):
            names = [bucket + number for bucket in self._buckets]
            names += [name + b":written" for name in names]
            names += [self._tag + kind + number for kind in (b"labels:", b"shards:")]
            self._wire.ask([(b"UNLINK", name) for name in names])
            self._ask(b"SREM", b"dropping", number)

    def _too_fast(self) -> StoreError:
        return StoreError(f"{self._wire.where}: versions change too fast; try again")


class _NothingPushed(StoreError):
    pass


def _grouped(keys: Sequence[bytes], rows: Iterable[int]) -> dict[int, list[int]]:
    """Rows by the bucket of their keys."""
    groups: dict[int, list[int]] = {}
    for row in rows:
        bucket = crc32(keys[row]) % BUCKETS
        if bucket in groups:
            groups[bucket].append(row)
        else:
            groups[bucket] = [row]
    return groups


def _pairs(keys: list[bytes], values: list[bytes], rows: list[int]) -> list[bytes]:
    pairs = [b""] * (2 * len(rows))
    pairs[::2] = [keys[row] for row in rows]
    pairs[1::2] = [values[row] for row in rows]
    return pairs


def _told(state: bytes) -> list[tuple[Version, dict[str, Any]]]:
    versions = json.loads(state.partition(b" ")[2] or b"[]")
    return [decode(json.dumps(one).encode()) for one in versions]


def _resumed(number: int, token: str, notes: Iterable[bytes]) -> Started:
    parts = (note.decode().partition(":") for note in notes)
    return Started(number, token, {int(shard): digest for shard, _, digest in parts})


def _replaced(started: Started) -> StoreError:
    return StoreError(f"version {started.number}: another push took its place")
