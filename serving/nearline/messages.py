"""Messages to actions, by the rules of the daily ingest: what it refuses is refused here."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from components.activity.config import Vertical
from components.activity.engine import open_engine
from components.activity.quarantine import Judge
from components.activity.readers import BAD_TEXT, Lines, parse_json
from components.activity.sessions import MICROSECONDS_PER_MINUTE
from components.store.records import LONGEST_ID
from serving.nearline.config import NearlineConfig


class Message(NamedTuple):
    """A message of the topic.

    Attributes:
        offset: in its partition.
        time: when the broker or producer stamped it, microseconds UTC.
        key: the member's id.
        value: JSON of an action.
    """

    offset: int
    time: int
    key: bytes | None
    value: bytes | None


class Action(NamedTuple):
    """An action and the position of its message in the batch."""

    position: int
    member_id: str
    ts: int
    channel: str
    action: str
    query: str | None
    company: str | None
    title: str | None
    item_id: str | None


class Read(NamedTuple):
    """What became of a batch: its actions in order, and why the other positions are none."""

    actions: list[Action]
    refused: list[tuple[int, str]]


class Reader:
    """Applies the rules of one vertical to batches of messages."""

    def __init__(self, vertical: Vertical, config: NearlineConfig):
        self._engine = open_engine(keep_order=True)
        self._judge = Judge(vertical, self._engine)
        self._largest = config.largest_message
        self._ahead = int(config.ahead_minutes * MICROSECONDS_PER_MINUTE)

    def read(self, messages: Sequence[Message]) -> Read:
        """Tell actions from messages that no update can be made from."""
        refused: list[tuple[int, str]] = []
        positions, texts = [], []
        for position, message in enumerate(messages):
            try:
                texts.append(self._text(message))
                positions.append(position)
            except ValueError as error:
                refused.append((position, str(error)))
        if not texts:
            return Read([], refused)
        lines = Lines(np.array(positions), pa.array(texts, pa.string()), [])
        verdict = self._judge.judge(parse_json(lines, self._engine), file="", offset=0)
        rows = verdict.refused
        refused += zip(rows["row"].to_pylist(), rows["reason"].to_pylist(), strict=True)
        actions = []
        latest = time.time_ns() // 1000 + self._ahead
        columns = ("sequence", *Action._fields[1:])
        for row in zip(*(verdict.actions[name].to_pylist() for name in columns), strict=True):
            action = Action(*row)
            reason = _misplaced(action, messages[action.position].key, latest)
            if reason:
                refused.append((action.position, reason))
            else:
                actions.append(action)
        return Read(actions, sorted(refused))

    def _text(self, message: Message) -> str:
        if not message.value:
            raise ValueError("empty message")
        if len(message.value) > self._largest:
            raise ValueError("message too large")
        try:
            return message.value.decode()
        except UnicodeDecodeError:
            raise ValueError(BAD_TEXT) from None


def _misplaced(action: Action, key: bytes | None, latest: int) -> str | None:
    member = action.member_id.encode()
    if member != key:
        return "key is not the member_id"
    if len(member) > LONGEST_ID:
        return "member_id too long"
    return "ts ahead of the clock" if action.ts > latest else None
