"""Pages, postings, profiles and answers that come with files of actions."""

import json
from datetime import UTC, datetime

import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.activity.beside import UNEQUAL
from components.activity.config import JOBS, FilesConfig
from components.activity.schema import ActivityError
from components.activity.sources import ingest_files

AT = 1_564_080_576_000_000
ACTION = {
    "member_id": "ann",
    "ts": AT,
    "channel": "search",
    "action": "JOB_SEARCH",
    "query": "cook",
}
PAGE = {
    "member_id": "ann",
    "ts": AT,
    "channel": "search",
    "query": "cook",
    "item_ids": ["j1", "j2"],
    "outcomes": ["VIEW", ""],
}
POSTING = {"item_id": "j1", "title": "Cook", "company": "Acme", "skills": ["grill"]}


@pytest.fixture
def ingest(tmp_path):
    """Write tables as Parquet files and ingest them with one action."""

    def run(limit=0.5, **tables):
        paths = {"path": str(tmp_path / "actions.parquet")}
        pd.DataFrame([ACTION]).to_parquet(paths["path"])
        for name, rows in tables.items():
            paths[name] = str(tmp_path / f"{name}.parquet")
            pd.DataFrame(rows).to_parquet(paths[name])
        ingest_files(FilesConfig(**paths), JOBS, tmp_path / "feed", quarantine_limit=limit)
        return tmp_path / "feed"

    return run


def rows(feed, table):
    return pq.read_table(feed / table).to_pylist()


def test_tables_are_copied_by_their_columns_and_unknown_ones_are_null(ingest):
    feed = ingest(impressions=[PAGE], postings=[POSTING | {"salary": 7}])
    assert rows(feed, "impressions") == [PAGE]
    assert rows(feed, "postings") == [POSTING | {"industry": None, "place": None}]
    assert not (feed / "profiles").exists()


def test_a_time_may_be_a_timestamp(ingest):
    at = datetime.fromtimestamp(AT / 1e6, tz=UTC)
    naive = at.replace(tzinfo=None)
    feed = ingest(impressions=[PAGE | {"ts": at}, PAGE | {"ts": at}])
    assert {row["ts"] for row in rows(feed, "impressions")} == {AT}
    feed = ingest(impressions=[PAGE | {"ts": naive}])
    assert rows(feed, "impressions")[0]["ts"] == AT


def test_a_row_that_lacks_what_it_needs_is_refused_and_the_others_stay(ingest):
    bad = {"member_id": None}, {"outcomes": ["VIEW"]}, {"ts": 7}
    feed = ingest(limit=0.7, impressions=[PAGE, *(PAGE | change for change in bad)])
    assert rows(feed, "impressions") == [PAGE]
    refused = {row["reason"]: row for row in rows(feed, "quarantine")}
    assert refused["impressions: no member_id"]["row"] == 2
    assert refused[f"impressions: {UNEQUAL}"]["row"] == 3
    assert refused["impressions: implausible ts"]["row"] == 4
    assert json.loads((feed / "ingest.json").read_text())["quarantined"] == 3


def test_too_many_bad_rows_refuse_the_source(ingest):
    with pytest.raises(ActivityError, match=r"3 of 4 rows cannot be used.*no title"):
        ingest(postings=[{"item_id": "j1", "title": None}] * 3)


def test_a_missing_column_or_another_type_is_named(ingest):
    with pytest.raises(ActivityError, match=r"profiles\.parquet: no column member_id"):
        ingest(profiles=[{"headline": "cook"}])
    with pytest.raises(ActivityError, match=r"column item_ids is .*, not list"):
        ingest(impressions=[PAGE | {"item_ids": "j1"}])


def test_a_path_without_files_is_refused(ingest, tmp_path):
    with pytest.raises(ActivityError, match="nothing there"):
        ingest_files(
            FilesConfig(path=str(ingest() / "actions"), postings=str(tmp_path / "none")),
            JOBS,
            tmp_path / "other",
            quarantine_limit=0.5,
        )
