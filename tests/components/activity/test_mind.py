"""MIND: what a member read, in order, from histories without times and impressions with them."""

import json
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from components.activity.config import JOBS, NEWS, MindConfig
from components.activity.mind import HOUR, Click, Impression, ingest_mind, trail
from components.activity.schema import ACTION_SCHEMA, ActivityError

NOON = int(datetime(2019, 11, 13, 12, tzinfo=UTC).timestamp()) * 1_000_000


def news(item, category="sports", subcategory="golf", abstract="About it.", entities=()):
    entity = json.dumps([{"Label": e, "WikidataId": e} for e in entities])
    return f"{item}\t{category}\t{subcategory}\tTitle {item}\t{abstract}\turl\t{entity}\t[]"


NEWS_TSV = [
    news("N1", entities=["Q2", "Q1", "Q2"]),
    news("N2", "news", "world", abstract=""),
    news("N3"),
    news("N4"),
    news("N5"),
]
TRAIN = [
    "1\tann\t11/13/2019 12:00:00 PM\tN1 N2\tN3-1 N4-0",
    "2\tbob\t11/13/2019 9:05:07 AM\t\tN1-0 N2-1",
    "3\tann\t11/13/2019 6:00:00 AM\tN1 N2\tN1-0 N5-1",
]
DEV = ["1\tann\t11/15/2019 12:00:00 PM\tN1 N2 N5 N3 N4\tN4-0 N1-1"]


@pytest.fixture
def mind(tmp_path):
    def write(train=TRAIN, dev=DEV, items=NEWS_TSV, folders=("MINDsmall_train", "MINDsmall_dev")):
        for folder, behaviors in zip(folders, (train, dev), strict=True):
            place = tmp_path / "mind" / folder
            place.mkdir(parents=True)
            (place / "news.tsv").write_text("".join(line + "\n" for line in items))
            (place / "behaviors.tsv").write_text("".join(line + "\n" for line in behaviors))
        return tmp_path / "mind"

    return write


def ingest(path, target, *, limit=0.0, vertical=NEWS, **options):
    return ingest_mind(
        MindConfig(path=str(path), **options), vertical, target, quarantine_limit=limit
    )


def table(feed, name):
    return pq.read_table(feed / name).to_pylist()


def test_a_history_is_placed_before_the_impression_an_hour_apart():
    clicks = list(trail([Impression(NOON, ["a", "b", "c"], ["d", "e"])]))
    assert clicks == [
        Click(NOON - 3 * HOUR, "a", "navigation", 0),
        Click(NOON - 2 * HOUR, "b", "navigation", 0),
        Click(NOON - HOUR, "c", "navigation", 0),
        Click(NOON, "d", "recommendation", 0),
        Click(NOON, "e", "recommendation", 0),
    ]


def test_an_item_that_the_trail_has_is_not_placed_again():
    later = Impression(NOON + 9 * HOUR, ["a", "b", "a", "x"], ["a"])
    clicks = list(trail([Impression(NOON, ["a"], ["b"]), later]))
    assert [(c.item, c.channel, c.impression) for c in clicks] == [
        ("a", "navigation", 0),
        ("b", "recommendation", 0),
        ("x", "navigation", 1),
        ("a", "recommendation", 1),
    ]


def test_a_later_history_never_reaches_back_over_an_earlier_impression():
    later = Impression(NOON + HOUR, ["a", "x", "y", "z"], [])
    times = [c.ts - NOON for c in trail([Impression(NOON, [], ["a"]), later])]
    assert times == [0, HOUR // 4, HOUR // 2, 3 * HOUR // 4]


def test_train_and_dev_become_one_trail_per_member(mind, tmp_path):
    summary = ingest(mind(), tmp_path / "feed")
    assert (summary.actions, summary.quarantined, summary.out_of_order) == (7, 0, 0)
    rows = table(tmp_path / "feed", "actions")
    trails = {m: [r["item_id"] for r in rows if r["member_id"] == m] for m in ("ann", "bob")}
    assert trails == {"ann": ["N1", "N2", "N5", "N3", "N4", "N1"], "bob": ["N2"]}
    assert [r["sequence"] for r in rows] == list(range(7))
    assert {r["action"] for r in rows} == {"VIEW"}
    assert pq.read_schema(tmp_path / "feed/actions/part-00000.parquet") == ACTION_SCHEMA
    nine = datetime(2019, 11, 13, 9, 5, 7, tzinfo=UTC)
    assert rows[-1]["ts"] == int(nine.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("abstract", "first", "second"),
    [
        (True, "sports golf Title N1 About it.", "news world Title N2"),
        (False, "sports golf Title N1", "news world Title N2"),
    ],
)
def test_an_item_is_its_category_subcategory_title_and_abstract(
    mind, tmp_path, abstract, first, second
):
    ingest(mind(), tmp_path / "feed", abstract=abstract)
    titles = {r["item_id"]: r["title"] for r in table(tmp_path / "feed", "actions")}
    assert (titles["N1"], titles["N2"]) == (first, second)


def test_postings_keep_what_labels_need(mind, tmp_path):
    ingest(mind(), tmp_path / "feed")
    first, second, *_ = table(tmp_path / "feed", "postings")
    assert (first["category"], first["subcategory"]) == ("sports", "golf")
    assert (first["item_id"], first["entities"], second["entities"]) == ("N1", ["Q1", "Q2"], [])


def test_impressions_keep_what_ranking_needs(mind, tmp_path):
    ingest(mind(), tmp_path / "feed")
    impressions = table(tmp_path / "feed", "impressions")
    assert [(r["member_id"], r["fold"]) for r in impressions] == [
        ("ann", "train"),
        ("ann", "train"),
        ("ann", "dev"),
        ("bob", "train"),
    ]
    assert impressions[1]["item_ids"] == ["N3", "N4"]
    assert impressions[1]["outcomes"] == ["VIEW", ""]
    assert (impressions[1]["ts"], impressions[1]["channel"]) == (NOON, "recommendation")


@pytest.mark.parametrize(
    ("bad", "reason", "kept"),
    [
        ("1\tann\t11/13/2019 12:00:00 PM\tN1", "malformed row", []),
        ("1\tann\t11/13/2019 12:00:00 PM\tN1\tN3-1\tmore", "malformed row", []),
        ("1\tann\t11/13/2019 12:00:00 PM\tN1\tN3 N4", "malformed row", []),
        ("1\t\t11/13/2019 12:00:00 PM\tN1\tN3-1", "missing member_id", []),
        ("1\tann\t2019-11-13 12:00\tN1\tN3-1", "unreadable ts", []),
        ("1\tann\t11/13/2019 12:00:00 PM\tN1 N99\tN3-1", "unknown item", ["N1", "N3"]),
    ],
)
def test_what_is_no_row_is_set_aside_with_its_place(mind, tmp_path, bad, reason, kept):
    path = mind(train=[TRAIN[1], bad], dev=[])
    summary = ingest(path, tmp_path / "feed", limit=1.0)
    assert summary.reasons == {reason: 1}
    (row,) = table(tmp_path / "feed", "quarantine")
    behaviors = str(path / "MINDsmall_train" / "behaviors.tsv")
    assert (row["file"], row["row"], row["reason"]) == (behaviors, 2, reason)
    rows = table(tmp_path / "feed", "actions")
    assert [r["item_id"] for r in rows if r["member_id"] == "ann"] == kept


def test_an_item_without_a_title_is_set_aside(mind, tmp_path):
    untitled = "N9\tsports\tgolf\t\tAbout it.\turl\t[]\t[]"
    summary = ingest(mind(items=[*NEWS_TSV, untitled]), tmp_path / "feed", limit=1.0)
    assert summary.reasons == {"missing title": 2}


@pytest.mark.parametrize(
    ("size", "folders"),
    [
        ("small", ("MINDsmall_train", "MINDsmall_dev")),
        ("large", ("MINDlarge_train", "MINDlarge_dev")),
        ("small", ("train", "dev")),
        ("large", ("train", "valid")),
    ],
)
def test_both_publications_are_found(mind, tmp_path, size, folders):
    assert ingest(mind(folders=folders), tmp_path / "feed", size=size).actions == 7


def test_a_missing_part_is_an_error_that_says_what_was_looked_for(mind, tmp_path):
    path = mind(folders=("MINDsmall_train", "elsewhere"))
    with pytest.raises(ActivityError, match="dev part is missing.*MINDsmall_dev or dev or valid"):
        ingest(path, tmp_path / "feed")
    assert not (tmp_path / "feed").exists()


def test_a_vertical_without_its_action_is_refused(mind, tmp_path):
    other = JOBS.model_copy(update={"actions": {"JOB_SEARCH": "query"}})
    with pytest.raises(
        ActivityError, match="the mind source needs vertical.actions: VIEW: posting"
    ):
        ingest(mind(), tmp_path / "feed", vertical=other)
