"""What is known of one partition: closed trails, open sessions, and the offset they stand at.

All of it changes in one transaction, so that after a crash the state and its offset still belong
together and the topic is read on from there. Another process that took the partition meanwhile and
uses the same directory is noticed: a transaction that does not begin at the stored offset fails.
"""

import heapq
import json
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import lmdb

from serving.nearline.errors import NearlineError
from serving.nearline.messages import Action
from serving.nearline.trail import Trail

MAP_BYTES = 1 << 38
"""Address space, not disk: how far a partition may grow."""

_ABOUT = b"about"
_PLACE = struct.Struct(">QQ")
_MEMBER_BYTES = 16

logger = logging.getLogger(__name__)


class StaleError(NearlineError):
    """The state has moved on without us: somebody else has the partition."""


class Closing(NamedTuple):
    """A member whose sessions are over.

    Attributes:
        member_id: whose.
        actions: of the sessions, by time and then by place in the topic.
        keys: of the actions in the state.
    """

    member_id: str
    actions: list[Action]
    keys: list[bytes]


class PartitionState:
    """Trails and open sessions of a partition's members.

    Attributes:
        offset: of the next message to read; None before the first.
        newest: newest event time met, microseconds UTC.
        stamped: when the message of it was stamped, microseconds UTC.
    """

    def __init__(self, directory: Path, *, identity: str, idle: int, longest: int):
        """Open or create the state; one of another identity is dropped.

        Args:
            directory: of this partition alone.
            identity: of what trails are made with: encoder, labels and snapshot.
            idle: longest pause within a session, microseconds.
            longest: time after which a session under way is taken in as far as it is known.

        Raises:
            NearlineError: the directory cannot be used.
        """
        self._directory, self._identity = directory, identity
        self._idle, self._longest = idle, longest
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._env = lmdb.open(str(directory), max_dbs=3, map_size=MAP_BYTES)
        except (OSError, lmdb.Error) as error:
            raise NearlineError(f"{directory}: cannot be opened as a state: {error}") from error
        self._about, self._open, self._trails = (
            self._env.open_db(name) for name in (b"about", b"open", b"trails")
        )
        self._txn: lmdb.Transaction | None = None
        self.reload()

    def reload(self) -> None:
        """Read from disk what is held in memory."""
        self.offset: int | None = None
        self.newest = self.stamped = 0
        self._due: list[tuple[int, bytes]] = []
        self._waiting: set[bytes] = set()
        with self._env.begin() as txn:
            about = self._read_about(txn)
            if about is not None:
                self.offset, self.newest, self.stamped = about
                self._index(txn)
                return
        with self._env.begin(write=True) as txn:
            for database in (self._about, self._open, self._trails):
                txn.drop(database, delete=False)

    def close(self) -> None:
        """Let go of the files."""
        self._env.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Make what happens in the block, and `offset`, durable together, or nothing of it.

        Raises:
            StaleError: another process has changed the state since.
            NearlineError: it cannot be written.
        """
        expected = self.offset
        try:
            with self._env.begin(write=True) as txn:
                stored = self._read_about(txn)
                if (None if stored is None else stored[0]) != expected:
                    raise StaleError(f"{self._directory}: changed by another process")
                self._txn = txn
                yield
                about = [self._identity, self.offset, self.newest, self.stamped]
                txn.put(_ABOUT, json.dumps(about).encode(), db=self._about)
        except lmdb.Error as error:
            raise NearlineError(f"{self._directory}: cannot be written: {error}") from error
        finally:
            self._txn = None

    def add(self, action: Action, offset: int) -> None:
        """Keep an action until its session is over."""
        member = _key(action.member_id)
        self._put(member + _PLACE.pack(action.ts, offset), _dump(action))
        if member not in self._waiting:
            self._wait(member, action.ts)

    def due(self, watermark: int, most: int) -> list[Closing]:
        """Take up to `most` members who have sessions that ended before `watermark`.

        Args:
            watermark: event time, microseconds UTC, that no earlier action is awaited at.
            most: of members.
        """
        closings: list[Closing] = []
        while self._due and self._due[0][0] < watermark and len(closings) < most:
            _, member = heapq.heappop(self._due)
            self._waiting.discard(member)
            keys, actions = self._actions(member)
            end = self._end_of_known(actions, watermark)
            if end < len(actions):
                self._wait(member, actions[_end_of_session(actions, end, self._idle) - 1].ts)
            if end:
                closings.append(Closing(actions[0].member_id, actions[:end], keys[:end]))
        return closings

    def is_due(self, watermark: int) -> bool:
        """Return whether `due` has something to look at."""
        return bool(self._due) and self._due[0][0] < watermark

    def trail(self, member_id: str) -> Trail | None:
        """Return a member's closed sessions, None when the state has none."""
        stored = self._transaction.get(_key(member_id), db=self._trails)
        return None if stored is None else Trail.load(bytes(stored))

    def settle(self, closing: Closing, trail: Trail) -> None:
        """Replace a member's open actions by the trail that holds them."""
        for key in closing.keys:
            self._transaction.delete(key, db=self._open)
        self._transaction.put(_key(closing.member_id), trail.dump(), db=self._trails)

    def forget(self, member_id: str) -> None:
        """Drop everything about a member."""
        member = _key(member_id)
        self._transaction.delete(member, db=self._trails)
        for key in self._actions(member)[0]:
            self._transaction.delete(key, db=self._open)

    @property
    def open_members(self) -> int:
        """Number of members with a session that is not over."""
        return len(self._waiting)

    @property
    def _transaction(self) -> lmdb.Transaction:
        assert self._txn is not None
        return self._txn

    def _put(self, key: bytes, value: bytes) -> None:
        self._transaction.put(key, value, db=self._open)

    def _wait(self, member: bytes, last: int) -> None:
        self._waiting.add(member)
        heapq.heappush(self._due, (last + self._idle, member))

    def _actions(self, member: bytes) -> tuple[list[bytes], list[Action]]:
        keys, actions = [], []
        with self._transaction.cursor(self._open) as cursor:
            found = cursor.set_range(member)
            while found and (key := bytes(cursor.key())).startswith(member):
                keys.append(key)
                actions.append(_load(key, bytes(cursor.value())))
                found = cursor.next()
        return keys, actions

    def _end_of_known(self, actions: list[Action], watermark: int) -> int:
        """Return how many actions, from the first, no other will come between or soon after."""
        known = 0
        while known < len(actions):
            end = _end_of_session(actions, known, self._idle)
            if actions[end - 1].ts + self._idle < watermark:
                known = end
                continue
            if actions[known].ts + self._longest < watermark:
                # What follows is taken for the same session's, as the gap to it will tell.
                known += sum(action.ts < watermark for action in actions[known:end])
            break
        return known

    def _read_about(self, txn: lmdb.Transaction) -> tuple[int, int, int] | None:
        stored = txn.get(_ABOUT, db=self._about)
        if stored is None:
            return None
        identity, *about = json.loads(bytes(stored))
        return tuple(about) if identity == self._identity else None

    def _index(self, txn: lmdb.Transaction) -> None:
        with txn.cursor(self._open) as cursor:
            found = cursor.first()
            while found:
                key = bytes(cursor.key())
                member = key[:_MEMBER_BYTES]
                self._wait(member, _PLACE.unpack(key[_MEMBER_BYTES:])[0])
                found = cursor.set_range(member + b"\xff" * (_PLACE.size + 1))


def _end_of_session(actions: list[Action], first: int, idle: int) -> int:
    """Return the place after the last action of the session that `first` is in."""
    for at in range(first + 1, len(actions)):
        if actions[at].ts - actions[at - 1].ts > idle:
            return at
    return len(actions)


def _key(member_id: str) -> bytes:
    # Ids may be longer than LMDB's keys.
    return blake2b(member_id.encode(), digest_size=_MEMBER_BYTES).digest()


def _dump(action: Action) -> bytes:
    return json.dumps((action.member_id, *action[3:]), ensure_ascii=False).encode()


def _load(key: bytes, value: bytes) -> Action:
    ts, offset = _PLACE.unpack(key[_MEMBER_BYTES:])
    member_id, *rest = json.loads(value)
    return Action(offset, member_id, ts, *rest)
