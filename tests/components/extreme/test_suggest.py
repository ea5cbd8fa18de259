"""Trails for suggestions: a visitor's few actions, read kindly and refused clearly."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.activity.config import JOBS, ActivityConfig
from components.activity.schema import ACTION_SCHEMA
from components.activity.sessions import write_sessions
from components.extreme.errors import ExtremeError
from components.extreme.suggest import read_trail, read_visitor, rendered_sessions

MINUTE = 60_000_000


def visitor(folder, *actions, name="visitor.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(action) + "\n" for action in actions))
    return read_visitor(path, JOBS, ActivityConfig(partitions=1))


def test_an_action_and_its_text_are_enough(tmp_path):
    trail = visitor(
        tmp_path,
        {"action": "JOB_SEARCH", "query": "ICU  Nurse"},
        {"action": "VIEW", "company": "Acme Inc", "title": "Nurse"},
    )
    assert rendered_sessions(trail) == [["JOB_SEARCH icu nurse", "VIEW c_acme_inc nurse"]]


def test_given_times_cut_sessions(tmp_path):
    trail = visitor(
        tmp_path,
        {"action": "JOB_SEARCH", "query": "nurse", "ts": 1_600_000_000_000_000},
        {"action": "JOB_SEARCH", "query": "doctor", "ts": 1_600_000_000_000_000 + 31 * MINUTE},
    )
    assert rendered_sessions(trail) == [["JOB_SEARCH nurse"], ["JOB_SEARCH doctor"]]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([], "holds no actions"),
        ([{"query": "nurse"}], "no column 'action'"),
        ([{"action": "DANCE", "query": "x"}], r"visitor\.jsonl:1: .*DANCE"),
        (
            [
                {"action": "JOB_SEARCH", "query": "a", "member_id": "ann"},
                {"action": "JOB_SEARCH", "query": "b", "member_id": "bob"},
            ],
            "more than one member",
        ),
    ],
    ids=["empty", "no action column", "unknown action", "two members"],
)
def test_an_unusable_file_is_refused_by_name(tmp_path, actions, message):
    with pytest.raises(ExtremeError, match=message) as refused:
        visitor(tmp_path, *actions)
    assert "visitor.jsonl" in str(refused.value)


def test_an_unknown_member_is_refused(tmp_path):
    actions = tmp_path / "feed" / "part-00000.parquet"
    actions.parent.mkdir()
    texts = {"query": "nurse", "company": None, "title": None, "item_id": None}
    row = {"member_id": "ann", "ts": 1, "sequence": 0, "channel": "search", "action": "JOB_SEARCH"}
    pq.write_table(pa.Table.from_pylist([row | texts], schema=ACTION_SCHEMA), actions)
    write_sessions(actions.parent, tmp_path / "sessions", ActivityConfig(partitions=1))
    assert len(read_trail(tmp_path / "sessions", "ann")) == 1
    with pytest.raises(ExtremeError, match="no member 'nobody'"):
        read_trail(tmp_path / "sessions", "nobody")
