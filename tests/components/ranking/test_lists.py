"""Ranking lists: which pages make them, what they hold, and that serving computes the same."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.activity.split import TEST, TRAIN, VALIDATION
from components.features.config import FeaturesConfig
from components.features.tables import FeatureTables, build_tables
from components.ranking.config import ListsConfig
from components.ranking.errors import RankingError
from components.ranking.lists import Lists, build_lists
from tests.components.features.feed import DAY, Feed

CONTEXT = ("nurse", {"j1": "APPLY", "j2": "", "j3": ""})


@pytest.fixture
def feed(tmp_path):
    return three_members(tmp_path / "source")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The lists of three members, for those who only look."""
    return build(three_members(tmp_path_factory.mktemp("lists")))


@pytest.fixture(scope="module")
def lists(places):
    return Lists.open(places.lists)


@pytest.fixture
def copied(places, tmp_path):
    """A copy of the lists, to be damaged."""
    return shutil.copytree(places.lists, tmp_path / "lists")


def three_members(home):
    """Ann trains, bob is tested, cat validates; the targets are what lists are made of."""
    feed = Feed(home)
    feed.member("ann", TRAIN, [CONTEXT], [("nurse", {"j3": "", "j1": "VIEW", "j2": "SAVE"})])
    feed.member("bob", TEST, [CONTEXT], [("unheard of", {"j3": "DISMISS"}), (None, {"j1": "VIEW"})])
    feed.member("cat", VALIDATION, [CONTEXT], [("welder boston", {"j9": "APPLY", "j1": ""})])
    return feed


def build(feed, *, change=None, **config):
    """Write a feed, change what was written, and make its tables and lists."""
    home = feed.write()
    if change:
        change(home)
    places = SimpleNamespace(
        feed=home / "feed",
        sessions=home / "sessions",
        examples=home / "examples",
        features=home / "features",
        lists=home / "lists",
    )
    settings = FeaturesConfig(
        minimum_category_count=1, minimum_headline_members=1, minimum_word_count=1
    )
    build_tables(places.feed, places.sessions, places.features, settings, examples=places.examples)
    build_lists(
        places.feed,
        places.features,
        places.sessions,
        places.examples,
        places.lists,
        ListsConfig(**config),
        seed=1,
    )
    return places


def rows(lists):
    """Each list's member, query and postings with their gains."""
    pages = lists.pages().to_pylist()
    gains = np.split(lists.gains, lists.offsets[1:-1])
    return [
        (page["member_id"], page["query"], dict(zip(page["item_ids"], own.tolist(), strict=True)))
        for page, own in zip(pages, gains, strict=True)
    ]


def read(lists, table, row):
    return " ".join(lists.words[word] for word in table[row] if word)


def test_every_search_page_after_a_members_cut_is_a_list(lists):
    assert rows(lists) == [
        ("ann", "nurse", {"j3": 0, "j1": 1, "j2": 2}),
        ("bob", "unheard of", {"j3": 0}),
        ("cat", "welder boston", {"j9": 3, "j1": 0}),
    ]
    assert lists.split.tolist() == [TRAIN, TEST, VALIDATION]
    sides = {name: lists.select(name).tolist() for name in ("train", "validation", "test")}
    assert sides == {"train": [0], "validation": [2], "test": [1]}
    assert lists.example.tolist() == [0, 1, 2]
    assert lists.frequency.tolist() == [1, 0, 0]


def test_other_channels_make_lists_where_they_are_wanted(feed):
    lists = Lists.open(build(feed, channels=("recommendation",)).lists)
    assert rows(lists) == [("bob", None, {"j1": 1})]
    assert read(lists, lists.queries, lists.query[0]) == ""
    assert lists.frequency.tolist() == [0]


def test_gains_are_those_of_the_configuration(feed):
    lists = Lists.open(build(feed, gains={"DISMISS": 0.5, "SAVE": 1}).lists)
    assert lists.gains.tolist() == [0, 0, 1, 0.5, 0, 0]
    with pytest.raises(ValidationError, match="gains"):
        ListsConfig(gains={"VIEW": 0})


def test_texts_are_words_of_query_title_and_company(lists, feed):
    assert read(lists, lists.queries, lists.query[0]) == "nurse"
    assert read(lists, lists.queries, lists.query[1]) == "<unknown> <unknown>"
    assert [read(lists, lists.titles, row) for row in lists.title[:3]] == [
        "welder ii",
        "senior nurse",
        "nurse",
    ]
    assert read(lists, lists.companies, lists.company[1]) == "acme inc"
    short = Lists.open(build(feed, title_words=1).lists)
    assert read(short, short.titles, short.title[1]) == "senior"


def test_a_posting_outside_the_catalogue_is_kept_without_texts(lists):
    row = lists.offsets[2]
    assert lists.about["unknown postings"] == 1
    assert read(lists, lists.titles, lists.title[row]) == ""
    assert lists.categorical[row, :6].tolist() == [0] * 6
    assert np.isfinite(lists.continuous).all()


def test_a_posting_removed_from_the_catalogue_is_as_one_that_never_was(feed, lists):
    feed.postings = [own for own in feed.postings if own["item_id"] != "j3"]
    after = Lists.open(build(feed).lists)
    assert rows(after) == rows(lists)
    assert after.about["unknown postings"] == 3


def test_a_posting_shown_twice_counts_once_with_its_strongest_outcome(feed):
    page = next(own for own in feed.pages if own["member_id"] == "cat" and own["ts"] == 2 * DAY)
    page["item_ids"] = ["j1", "j2", "j1", "j2"]
    page["outcomes"] = ["VIEW", "", "APPLY", "DISMISS"]
    lists = Lists.open(build(feed).lists)
    assert rows(lists)[2][2] == {"j1": 3, "j2": 0}
    assert lists.about["dropped"]["repeated postings"] == 2


@pytest.mark.parametrize("nothing", [[], None])
def test_a_page_without_results_is_dropped_and_counted(feed, nothing):
    page = next(own for own in feed.pages if own["member_id"] == "ann" and own["ts"] == 2 * DAY)
    page["item_ids"] = page["outcomes"] = nothing
    lists = Lists.open(build(feed).lists)
    assert [row[0] for row in rows(lists)] == ["bob", "cat"]
    assert lists.about["dropped"]["pages without results"] == 1


def test_outcomes_may_be_missing_at_the_end_of_a_page(feed):
    page = next(own for own in feed.pages if own["member_id"] == "ann" and own["ts"] == 2 * DAY)
    page["outcomes"] = ["VIEW"]
    lists = Lists.open(build(feed).lists)
    assert rows(lists)[0][2] == {"j3": 1, "j1": 0, "j2": 0}
    assert rows(lists)[1][2] == {"j3": 0}


def test_lists_of_one_posting_and_without_any_gain_are_kept(lists):
    assert lists.about["lists of one posting"] == 1
    assert lists.about["lists without a gain"] == 1


def test_a_member_without_an_example_is_cold(feed):
    del feed.splits["bob"]
    lists = Lists.open(build(feed).lists)
    assert rows(lists)[1:3] == [
        ("bob", "nurse", {"j1": 3, "j2": 0, "j3": 0}),
        ("bob", "unheard of", {"j3": 0}),
    ]
    assert lists.example.tolist() == [0, -1, -1, 1]
    assert lists.split.tolist()[1:3] == [TEST, TEST]
    known = lists.about["continuous"].index("member_known")
    first = lists.offsets[1]
    assert lists.continuous[first, known] == 0
    assert lists.continuous[first, lists.about["continuous"].index("own_log_applied")] == 0


def test_a_member_with_several_examples_has_the_lists_of_the_latest(feed):
    feed.member("dan", TRAIN, [CONTEXT, CONTEXT], [("nurse", {"j1": ""})])

    earlier = {"member_id": "dan", "split": TRAIN, "context_end": 1, "target_end": 2}
    feed.earlier_examples.append(earlier)
    lists = Lists.open(build(feed).lists)
    assert [row for row in rows(lists) if row[0] == "dan"] == [("dan", "nurse", {"j1": 0})]
    assert lists.example.tolist() == [1, 2, 3, 4]


def test_a_target_that_ends_early_leaves_later_pages_out(feed):
    feed.member("dan", TRAIN, [CONTEXT], [("nurse", {"j1": ""}), ("welder", {"j3": "VIEW"})])

    def ending_early(home):
        path = home / "examples/examples.parquet"
        table = pq.read_table(path).to_pandas()
        table.loc[table.member_id == "dan", "target_end"] = 2
        table.to_parquet(path)

    lists = Lists.open(build(feed, change=ending_early).lists)
    assert [row for row in rows(lists) if row[0] == "dan"] == [("dan", "nurse", {"j1": 0})]


def test_the_pages_of_a_busy_training_member_may_be_bounded(feed):
    pages = [(f"query {number}", {"j1": ""}) for number in range(9)]
    feed.member("busy", TRAIN, [CONTEXT], pages)
    feed.member("much", TEST, [CONTEXT], pages)
    lists = Lists.open(build(feed, most_per_member=4).lists)
    counts = [sum(row[0] == member for row in rows(lists)) for member in ("busy", "much")]
    assert counts == [4, 9]
    assert lists.about["dropped"]["pages beyond most_per_member"] == 5


def test_serving_computes_the_very_numbers_that_were_trained_on(places):
    """No skew: each list of training, asked as one request to tables opened from disk."""
    lists, tables = Lists.open(places.lists), FeatureTables.open(places.features)
    assert lists.about["continuous"] == tables.continuous
    assert lists.about["categorical"] == [list(own) for own in tables.categorical]
    for number, page in enumerate(lists.pages().to_pylist()):
        items, own = page["item_ids"], slice(*lists.offsets[number : number + 2])
        asked = tables.pairs(
            np.repeat(tables.member_rows([page["member_id"]]), len(items)),
            tables.posting_rows(items),
            [page["query"]] * len(items),
            np.full(len(items), page["ts"]),
        )
        np.testing.assert_array_equal(asked.continuous, lists.continuous[own])
        np.testing.assert_array_equal(asked.categorical, lists.categorical[own])
        width = lists.about["widths"]["query"]
        np.testing.assert_array_equal(
            tables.words.encode([page["query"]], width)[0], lists.queries[lists.query[number]]
        )


def test_a_feed_without_pages_gives_an_empty_directory(feed):
    places = build(feed, change=lambda home: shutil.rmtree(home / "feed/impressions"))
    assert list(places.lists.iterdir()) == []
    with pytest.raises(RankingError, match=r"about\.json"):
        Lists.open(places.lists)


def test_no_page_at_all_in_any_target_gives_an_empty_directory_and_says_so(feed, caplog):
    feed.splits = {member: (split, 3) for member, (split, _) in feed.splits.items()}
    assert list(build(feed).lists.iterdir()) == []
    assert "lists.channels=search" in caplog.text


@pytest.mark.parametrize(
    "name", ["about.json", "words.txt", "offsets.npy", "continuous.npy", "titles.npy"]
)
def test_a_truncated_file_is_named(copied, name):
    path = copied / name
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(RankingError, match=name):
        Lists.open(path.parent)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("gains", np.zeros(5, np.float32)),
        ("gains", np.zeros(6, np.float64)),
        ("offsets", np.array([0, 3, 3, 6])),
        ("title", np.full(6, 99, np.int32)),
        ("queries", np.full((4, 8), 99, np.int32)),
        ("titles", np.zeros((4, 3), np.int32)),
    ],
)
def test_arrays_that_do_not_belong_together_are_named(copied, name, array):
    np.save(copied / f"{name}.npy", array)
    with pytest.raises(RankingError, match=rf"{name}\.npy"):
        Lists.open(copied)


def test_a_missing_count_is_told(copied):
    path = copied / "about.json"
    about = json.loads(path.read_text())
    del about["lists"]
    path.write_text(json.dumps(about))
    with pytest.raises(RankingError, match=r"about\.json.*lists"):
        Lists.open(path.parent)


def test_there_are_three_splits(lists):
    with pytest.raises(RankingError, match="'tset'"):
        lists.select("tset")
