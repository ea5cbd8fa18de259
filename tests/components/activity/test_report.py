"""The sessions report: Table 1 and Figure 3 of a trail small enough to count by hand."""

import json
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from components.activity.config import JOBS, SHOPPING, ActivityConfig
from components.activity.report import session_report
from components.activity.schema import ActivityError
from components.activity.sessions import session_parts, write_sessions
from tests.components.activity.trails import trail

SESSIONS = [
    ("ann", [("JOB_SEARCH", "data engineer"), ("VIEW", "Data Engineer"), ("APPLY", "Engineer")]),
    ("ann", [("APPLY", "engineer"), ("JOB_SEARCH", "nurse")]),
    ("ann", [("JOB_SEARCH", "nurse")]),
    ("bob", [("VIEW", "cook")]),
    ("bob", [("VIEW", "cook"), ("APPLY", "cook")]),
]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report"), SESSIONS)


def write(folder, sessions):
    pq.write_table(trail(sessions), folder / "actions.parquet")
    write_sessions(folder / "actions.parquet", folder / "sessions", ActivityConfig(partitions=2))
    return folder / "sessions"


def values(rows):
    return {row["statistic"]: row["value"] for row in rows}


def test_members_sessions_actions_and_words_are_counted(sessions, tmp_path):
    rows = values(session_report(sessions, tmp_path / "r", JOBS, published_comparison=True))
    assert rows["members"] == 2
    assert rows["sessions"] == 5
    assert rows["actions"] == 9
    assert rows["sessions per member"] == 2.5
    assert rows["sessions per member, median"] == 2
    assert rows["actions per session"] == 1.8
    # 9 action types, 6 companies, the words of 3 queries (4) and of 6 titles (7)
    assert rows["word tokens"] == 26
    # 3 action types, c_acme, data, engineer, nurse, cook
    assert rows["distinct word tokens"] == 8


def test_slices_tell_search_application_and_application_after_a_search(sessions, tmp_path):
    rows = values(session_report(sessions, tmp_path / "r", JOBS, published_comparison=True))
    assert {
        name: value for name, value in rows.items() if name.startswith("sessions ") and "_" in name
    } == {
        "sessions 0_0_0": 0.2,
        "sessions 0_1_0": 0.2,
        "sessions 1_0_0": 0.2,
        "sessions 1_1_0": 0.2,
        "sessions 1_1_1": 0.2,
    }


def test_members_who_never_searched_are_counted_over_all_their_sessions(sessions, tmp_path):
    rows = values(session_report(sessions, tmp_path / "r", JOBS, published_comparison=True))
    assert rows["members who never searched"] == 0.5


def test_long_sessions_are_compared_with_short_ones(tmp_path):
    search, view, apply = ("JOB_SEARCH", "nurse"), ("VIEW", "nurse"), ("APPLY", "nurse")
    sessions = [
        ("ann", [search, *[view] * 9, apply]),
        ("ann", [search, *[view] * 10]),
        ("ann", [view] * 11),
        ("ann", [view] * 10),
        ("ann", [search, apply]),
        ("ann", [search]),
        ("ann", [search]),
        ("ann", [search]),
    ]
    folder = write(tmp_path, sessions)
    rows = values(session_report(folder, tmp_path / "r", JOBS, published_comparison=True))
    assert rows["sessions of at most 2 actions"] == 0.5
    assert rows["sessions over 10 actions: have a search"] == pytest.approx(2 / 3)
    assert rows["sessions over 10 actions with a search: apply after it"] == 0.5
    assert rows["sessions up to 2 actions with a search: apply after it"] == 0.25


def test_the_papers_figures_stand_beside_ours(sessions, tmp_path):
    rows = session_report(sessions, tmp_path / "r", JOBS, published_comparison=True)
    published = {row["statistic"]: row["paper"] for row in rows}
    assert published["sessions per member"] == 16.47
    assert published["members who never searched"] == 0.16
    assert published["actions"] is None


def test_another_kind_of_marketplace_is_not_compared(sessions, tmp_path):
    rows = session_report(sessions, tmp_path / "r", JOBS, published_comparison=False)
    assert {tuple(row) for row in rows} == {("statistic", "value")}


def test_a_vertical_without_searches_has_the_slices_without_a_search(tmp_path):
    folder = write(tmp_path, [("ann", [("PURCHASE", "milk")]), ("ann", [("CAMPAIGN", "spring")])])
    rows = values(session_report(folder, tmp_path / "r", SHOPPING, published_comparison=False))
    assert rows["sessions 0_1_0"] == 0.5
    assert rows["members who never searched"] == 1
    assert rows["sessions over 10 actions: have a search"] is None


def test_report_json_holds_the_rows_and_names_the_plots(sessions, tmp_path):
    rows = session_report(sessions, tmp_path / "r", JOBS, published_comparison=True)
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["rows"] == rows
    assert [figure["path"] for figure in report["figures"]] == ["sessions.svg", "members.svg"]
    for figure in report["figures"]:
        assert figure["caption"]
        root = ElementTree.parse(tmp_path / "r" / figure["path"]).getroot()
        assert root.tag.endswith("svg")


def test_the_same_sessions_give_the_same_files(sessions, tmp_path):
    for name in ("one", "two"):
        session_report(sessions, tmp_path / name, JOBS, published_comparison=True)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_no_sessions_give_a_report_without_plots(tmp_path):
    folder = write(tmp_path, [])
    rows = values(session_report(folder, tmp_path / "r", JOBS, published_comparison=True))
    assert rows["sessions"] == 0
    assert rows["sessions per member"] is None
    assert json.loads((tmp_path / "r" / "report.json").read_text())["figures"] == []


def test_a_part_without_a_column_is_named(tmp_path):
    folder = write(tmp_path, SESSIONS)
    part = session_parts(folder)[1]
    pq.write_table(pq.read_table(part).drop_columns("action"), part)
    with pytest.raises(ActivityError, match=rf"{part}: column action is missing"):
        session_report(folder, tmp_path / "r", JOBS, published_comparison=True)
    assert not (tmp_path / "r").exists()
