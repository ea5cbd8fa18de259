"""A visitor's actions as a request holds them, turned into the trail that a feed would make."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from components.activity.config import ActivityConfig, Vertical
from components.activity.schema import SESSION_SCHEMA
from components.extreme.suggest import MICROSECONDS_PER_MINUTE, TRAIL_COLUMNS, VISITOR
from serving.errors import BadRequest
from serving.requests import Action

_START = 1_500_000_000_000_000
_SCHEMA = pa.schema([SESSION_SCHEMA.field(name) for name in TRAIL_COLUMNS])
_CARRIED = {"query": ("query",), "posting": ("company", "title")}
_NEEDED = {"query": "query", "posting": "title"}


def read_actions(
    actions: Sequence[Action], vertical: Vertical, activity: ActivityConfig, *, where: str
) -> pa.Table:
    """Return a trail as `components.extreme.suggest.read_visitor` reads it from a file.

    Only `action` and the texts that it carries are needed; times are given for all actions or for
    none, which are then a minute apart. Equal actions of one instant are taken once.

    Args:
        actions: of one visitor, in any order when they have times.
        vertical: which actions and channels there are.
        activity: how long a pause ends a session.
        where: place of the actions in the request, for messages.

    Raises:
        BadRequest: an action that there is not, without its text, or without its time.
    """
    rows = [
        _row(number, action, vertical, f"{where}[{number}]")
        for number, action in enumerate(actions)
    ]
    timed = [row["ts"] is not None for row in rows]
    if any(timed):
        if not all(timed):
            raise BadRequest(f"{where}[{timed.index(False)}].ts: missing, though others have one")
        rows = _once(rows)
        rows.sort(key=lambda row: (row["ts"], row["sequence"]))
    else:
        for row in rows:
            row["ts"] = _START + (row["sequence"] + 1) * MICROSECONDS_PER_MINUTE
    session, last = 0, None
    idle = activity.idle_minutes * MICROSECONDS_PER_MINUTE
    for row in rows:
        session += last is None or row["ts"] - last > idle
        row["session"], last = session, row["ts"]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _row(number: int, action: Action, vertical: Vertical, where: str) -> dict[str, Any]:
    kind = vertical.actions.get(action.action)
    if kind is None:
        known = ", ".join(vertical.actions)
        raise BadRequest(f"{where}.action: {action.action!r} is none of {known}")
    if action.channel is not None and action.channel not in vertical.channels:
        known = ", ".join(vertical.channels)
        raise BadRequest(f"{where}.channel: {action.channel!r} is none of {known}")
    texts = {name: _said(getattr(action, name)) for name in _CARRIED[kind]}
    if texts[_NEEDED[kind]] is None:
        raise BadRequest(f"{where}.{_NEEDED[kind]}: missing, {action.action} has to have one")
    return {
        "member_id": VISITOR,
        "ts": action.ts,
        "sequence": number,
        "action": action.action,
        "query": texts.get("query"),
        "company": texts.get("company"),
        "title": texts.get("title"),
        "channel": action.channel,
        "item_id": action.item_id,
    }


def _said(text: str | None) -> str | None:
    return text if text and text.strip(" \t\r\n") else None


def _once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    distinct: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        distinct.setdefault(tuple(row[name] for name in row if name != "sequence"), row)
    return list(distinct.values())
