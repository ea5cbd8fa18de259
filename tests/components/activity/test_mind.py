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
TEST = [
    "1\teve\t11/16/2019 8:00:00 AM\t\tN1 N2",
    "2\tann\t11/17/2019 8:00:00 AM\tN1 N2 N5 N3 N1 N6\tN5 N4",
]


@pytest.fixture
def mind(tmp_path):
    def write(
        train=TRAIN,
        dev=DEV,
        test=None,
        items=NEWS_TSV,
        folders=("MINDsmall_train", "MINDsmall_dev", "MINDsmall_test"),
    ):
        parts = [behaviors for behaviors in (train, dev, test) if behaviors is not None]
        for folder, behaviors in zip(folders, parts, strict=False):
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


def test_hidden_clicks_are_left_out_even_if_a_later_history_tells_of_them():
    later = Impression(NOON + 9 * HOUR, ["a", "b", "x"], [])
    clicks = list(trail([Impression(NOON, ["a"], ["b"], hidden=True), later]))
    assert [(c.item, c.impression) for c in clicks] == [("a", 0), ("x", 1)]


def test_train_and_dev_become_one_trail_per_member(mind, tmp_path):
    summary = ingest(mind(), tmp_path / "feed", dev_clicks=True)
    assert (summary.actions, summary.quarantined, summary.out_of_order) == (7, 0, 0)
    rows = table(tmp_path / "feed", "actions")
    trails = {m: [r["item_id"] for r in rows if r["member_id"] == m] for m in ("ann", "bob")}
    assert trails == {"ann": ["N1", "N2", "N5", "N3", "N4", "N1"], "bob": ["N2"]}
    assert [r["sequence"] for r in rows] == list(range(7))
    assert {r["action"] for r in rows} == {"VIEW"}
    assert pq.read_schema(tmp_path / "feed/actions/part-00000.parquet") == ACTION_SCHEMA
    nine = datetime(2019, 11, 13, 9, 5, 7, tzinfo=UTC)
    assert rows[-1]["ts"] == int(nine.timestamp()) * 1_000_000


def test_clicks_in_dev_are_kept_for_measuring_but_not_its_histories(mind, tmp_path):
    path = mind(
        test=[*TEST, "3\tann\t11/18/2019 8:00:00 AM\tN4 N1 N2\tN5"], items=[*NEWS_TSV, news("N6")]
    )
    assert ingest(path, tmp_path / "feed").actions == 7
    read = [r["item_id"] for r in table(tmp_path / "feed", "actions") if r["member_id"] == "ann"]
    assert read == ["N1", "N2", "N5", "N3", "N4", "N6"]
    dev = [r for r in table(tmp_path / "feed", "impressions") if r["fold"] == "dev"]
    assert [r["outcomes"] for r in dev] == [["", "VIEW"]]


def test_a_member_who_only_looks_makes_no_action(mind, tmp_path):
    lookers = ["1\tann\t11/13/2019 1:00:00 PM\t\tN1-0 N2-0", TRAIN[1]]
    assert ingest(mind(train=lookers, dev=[]), tmp_path / "feed").actions == 1
    ann, _ = table(tmp_path / "feed", "impressions")
    assert (ann["outcomes"], ann["history"]) == (["", ""], [])


@pytest.mark.parametrize("marks", [("", ""), ("-0", "-1")])
def test_pages_of_the_test_part_lie_apart_and_nobody_reads_their_labels(mind, tmp_path, marks):
    test = [TEST[0].replace("N1 N2", "N1{} N2{}".format(*marks)), TEST[1]]
    summary = ingest(mind(test=test, items=[*NEWS_TSV, news("N6")]), tmp_path / "feed")
    assert summary.quarantined == 0
    ann, eve = table(tmp_path / "feed", "unlabelled")
    assert (eve["member_id"], eve["item_ids"], eve["outcomes"]) == ("eve", ["N1", "N2"], ["", ""])
    assert (eve["fold"], eve["impression_id"], eve["history"]) == ("test", 1, [])
    assert ann["impression_id"] == 2
    assert {r["member_id"] for r in table(tmp_path / "feed", "actions")} == {"ann", "bob"}
    assert {r["fold"] for r in table(tmp_path / "feed", "impressions")} == {"train", "dev"}


def test_without_a_test_part_there_are_no_unlabelled_pages(mind, tmp_path):
    ingest(mind(), tmp_path / "feed")
    assert not (tmp_path / "feed" / "unlabelled").exists()


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
    assert first["labels"] == ["sports_golf", "Q1 (Q1)", "Q2 (Q2)"]
    assert second["labels"] == ["news_world"]


def told(item, title_entities, abstract_entities):
    return f"{item}\tsports\tgolf\tTitle\t\turl\t{title_entities}\t{abstract_entities}"


@pytest.mark.parametrize(
    ("title_entities", "abstract_entities", "labels"),
    [
        ("", "", []),
        ("[]", "[{", []),
        ("null", '{"WikidataId": "Q5"}', []),
        ("[]", '[{"Label": "Tiger Woods", "WikidataId": "Q5"}]', ["Tiger Woods (Q5)"]),
        ('[{"WikidataId": "Q5"}]', '[{"Label": "nobody"}]', ["Q5"]),
        ('[{"WikidataId": "Q5", "Label": " "}, {}, 3]', "[]", ["Q5"]),
        ('[{"WikidataId": "Q7", "Label": "Café \\"O\'B\\" 🏌"}]', "", ['Café "O\'B" 🏌 (Q7)']),
    ],
)
def test_an_entity_is_named_by_its_label_where_one_is_known(
    mind, tmp_path, title_entities, abstract_entities, labels
):
    item = told("N9", title_entities, abstract_entities)
    summary = ingest(mind(items=[*NEWS_TSV, item]), tmp_path / "feed")
    assert summary.quarantined == 0
    *_, last = table(tmp_path / "feed", "postings")
    assert last["labels"] == ["sports_golf", *labels]


def test_an_entity_has_one_name_wherever_it_is_told_of(mind, tmp_path):
    items = [
        told("N8", '[{"Label": "Eldrick Woods", "WikidataId": "Q5"}]', "[]"),
        told("N9", '[{"Label": "Tiger Woods", "WikidataId": "Q5"}]', "[]"),
    ]
    ingest(mind(items=[*NEWS_TSV, *items]), tmp_path / "feed")
    *_, one, other = table(tmp_path / "feed", "postings")
    assert one["labels"] == other["labels"] == ["sports_golf", "Eldrick Woods (Q5)"]


def test_the_first_part_that_knows_an_item_describes_it(mind, tmp_path):
    path = mind(items=[*NEWS_TSV, news("N1", "news", "world")])
    (path / "MINDsmall_dev" / "news.tsv").write_text(news("N2", "autos", "cars") + "\n")
    ingest(path, tmp_path / "feed")
    first, second, *_ = table(tmp_path / "feed", "postings")
    assert (first["category"], second["category"]) == ("sports", "news")


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
    assert [r["impression_id"] for r in impressions] == [3, 1, 1, 2]
    assert impressions[2]["history"] == ["N1", "N2", "N5", "N3", "N4"]


def test_items_shown_that_nobody_describes_stay_on_their_page(mind, tmp_path):
    path = mind(train=["1\tann\t11/13/2019 12:00:00 PM\tN1\tN3-1 N77-0"], dev=[])
    assert ingest(path, tmp_path / "feed").quarantined == 0
    (page,) = table(tmp_path / "feed", "impressions")
    assert page["item_ids"] == ["N3", "N77"]


def test_stray_spaces_and_windows_line_ends_do_no_harm(mind, tmp_path):
    path = mind(train=["1\tann\t11/13/2019 12:00:00 PM\t N1  N2 \tN3-1 N4-0 \r"], dev=[])
    assert ingest(path, tmp_path / "feed").actions == 3
    (page,) = table(tmp_path / "feed", "impressions")
    assert (page["history"], page["item_ids"]) == (["N1", "N2"], ["N3", "N4"])


@pytest.mark.parametrize(
    ("bad", "reason", "kept"),
    [
        ("1\tann\t11/13/2019 12:00:00 PM\tN1", "malformed row", []),
        ("1\tann\t11/13/2019 12:00:00 PM\tN1\tN3-1\tmore", "malformed row", []),
        ("1\tann\t11/13/2019 12:00:00 PM\tN1\tN3 N4", "malformed row", []),
        ("one\tann\t11/13/2019 12:00:00 PM\tN1\tN3-1", "unreadable impression_id", []),
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


@pytest.mark.parametrize(
    ("line", "text", "labels"),
    [
        ("N9\tsports\tgolf\t\tAbout it.\turl\t[]\t[]", "sports golf About it.", ["sports_golf"]),
        ("N9\tsports\tgolf\t \t\turl\t[]\t[]", "sports golf", ["sports_golf"]),
        ("N9\tsports\t\tGolf\t\t\t\t", "sports Golf", ["sports"]),
        ("N9\t\t\t\t\t\t\t", None, []),
    ],
)
def test_an_item_is_kept_however_little_is_said_of_it(mind, tmp_path, line, text, labels):
    path = mind(train=["1\tann\t11/13/2019 12:00:00 PM\tN9\tN3-0"], items=[*NEWS_TSV, line])
    assert ingest(path, tmp_path / "feed").quarantined == 0
    *_, item = table(tmp_path / "feed", "postings")
    assert (item["title"], item["labels"], item["entities"]) == (text, labels, [])
    first, *_ = table(tmp_path / "feed", "actions")
    assert (first["item_id"], first["title"]) == ("N9", text)


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
    assert ingest(mind(folders=folders), tmp_path / "feed", size=size).actions == 6


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
