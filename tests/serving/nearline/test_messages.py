"""What counts as an action, and why the rest does not."""

import json
import time

import pytest

from components.activity.config import JOBS
from serving.nearline.config import NearlineConfig
from serving.nearline.messages import Message, Reader
from tests.serving.nearline.conftest import MINUTE, NOON

SEARCH = {
    "member_id": "ann",
    "ts": NOON,
    "channel": "search",
    "action": "JOB_SEARCH",
    "query": "nurse",
}


@pytest.fixture(scope="module")
def reader():
    return Reader(JOBS, NearlineConfig(topic="actions", largest_message=200_000))


def message(value, key=b"ann"):
    return Message(7, NOON, key, value if isinstance(value, bytes) else json.dumps(value).encode())


def refusals(reader, *batch):
    read = reader.read(batch)
    assert len(read.actions) + len(read.refused) == len(batch)
    return read.refused


def test_an_action_keeps_its_fields_and_its_place(reader):
    (action,), refused = reader.read([message(SEARCH)])
    assert refused == []
    assert action == (0, "ann", NOON, "search", "JOB_SEARCH", "nurse", None, None, None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty message"),
        (b"", "empty message"),
        (b"\xff\xfe", "invalid UTF-8"),
        (b"nurse", "malformed row"),
        (b'{"member_id": "ann"', "malformed row"),
        (b"[" * 100_000, "malformed row"),
        (b'{"a":' * 30_000, "malformed row"),
        (b"x" * 200_001, "message too large"),
        (SEARCH | {"ts": float("nan")}, "unreadable ts"),
        (SEARCH | {"ts": {}}, "wrong type"),
        (SEARCH | {"ts": "soon"}, "unreadable ts"),
        (SEARCH | {"ts": 1}, "implausible ts"),
        (SEARCH | {"ts": time.time_ns() // 1000 + 6000 * MINUTE}, "ts ahead of the clock"),
        (SEARCH | {"action": "DANCE"}, "unknown action"),
        (SEARCH | {"channel": "dream"}, "unknown channel"),
        (SEARCH | {"query": " "}, "missing query"),
        (SEARCH | {"member_id": "bob"}, "key is not the member_id"),
    ],
)
def test_a_bad_message_is_refused_with_the_daily_ingests_reason(reader, value, reason):
    value = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    bad = Message(0, NOON, b"ann", value)
    assert refusals(reader, message(SEARCH), bad, message(SEARCH)) == [(1, reason)]


def test_a_message_needs_its_members_key(reader):
    assert refusals(reader, message(SEARCH, key=None)) == [(0, "key is not the member_id")]


def test_a_member_that_no_store_can_name_is_refused(reader):
    long = "a" * 256
    named = message(SEARCH | {"member_id": long}, key=long.encode())
    assert refusals(reader, named) == [(0, "member_id too long")]
