"""One way in: every kind of source writes a feed, and only a generated one knows the truth."""

import json

import pytest

from components.activity.config import JOBS, NEWS, SHOPPING, ActivityConfig
from components.activity.ingest import ingest_source
from components.activity.schema import ActivityError


def ingest(path, source, vertical=JOBS):
    return ingest_source(
        source, vertical, ActivityConfig(), feed=path / "feed", truth=path / "truth", seed=1
    )


def test_files_make_a_feed_and_no_truth(tmp_path):
    actions = tmp_path / "actions.csv"
    actions.write_text(
        "member_id,ts,channel,action,query,company,title,item_id\n"
        "ann,1600000000000000,search,JOB_SEARCH,cook,,,\n"
    )
    counts = ingest(tmp_path, {"kind": "files", "path": str(actions)})
    assert (counts["actions"], counts["quarantined"]) == (1, 0)
    assert counts["actions"] == json.loads((tmp_path / "feed/ingest.json").read_text())["actions"]
    assert list((tmp_path / "truth").iterdir()) == []


def test_a_generated_marketplace_makes_a_feed_and_the_truth(tmp_path):
    source = {
        "kind": "jobs",
        "members": 40,
        "occupations": 8,
        "companies": 32,
        "postings": 200,
        "workers": 1,
    }
    counts = ingest(tmp_path, source)
    assert counts["actions"] > 40
    assert list((tmp_path / "feed/actions").glob("*.parquet"))
    assert list((tmp_path / "truth").iterdir())


def test_generated_news_are_read_as_mind_is_and_leave_only_a_feed(tmp_path):
    source = {"kind": "news", "users": 30, "items": 300, "entities": 50}
    counts = ingest(tmp_path, source, NEWS)
    assert counts["actions"] > 30
    assert counts["quarantined"] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"feed", "truth"}


def test_a_real_source_in_place_of_a_generated_one_leaves_no_truth_behind(tmp_path):
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "members").touch()
    actions = tmp_path / "actions.jsonl"
    row = {"member_id": "ann", "ts": 1600000000000000, "channel": "search", "query": "cook"}
    actions.write_text(json.dumps(row | {"action": "JOB_SEARCH"}) + "\n")
    ingest(tmp_path, {"kind": "files", "path": str(actions)})
    assert list((tmp_path / "truth").iterdir()) == []


@pytest.mark.parametrize(
    ("source", "vertical", "told"),
    [
        ({"kind": "tape"}, JOBS, "source.kind: 'tape'"),
        ({"kind": "files", "path": "no/such/folder"}, JOBS, "no/such/folder"),
        ({"kind": "mind", "path": "no/such/folder"}, SHOPPING, "VIEW"),
    ],
)
def test_a_source_that_cannot_be_read_is_told(tmp_path, source, vertical, told):
    with pytest.raises(ActivityError, match=told):
        ingest(tmp_path, source, vertical)
