"""Impressions as arrays: what was shown, clicked and read before, whatever the feed lacks."""

import pyarrow.parquet as pq
import pytest

from components.news.errors import NewsError
from components.news.impressions import Impressions, has_news, prepare_impressions, read_items
from tests.components.news.conftest import write_feed

ITEMS = [{"item_id": f"N{n}", "title": f"news {n}"} for n in range(5)]


def page(number, shown, history=(), *, fold="train", clicked=()):
    return {
        "member_id": f"U{number}",
        "ts": number,
        "item_ids": list(shown),
        "outcomes": ["VIEW" if item in clicked else "" for item in shown],
        "fold": fold,
        "impression_id": number,
        "history": list(history),
    }


@pytest.fixture
def prepare(tmp_path):
    def make(*pages, items=ITEMS, history=3, unlabelled=()):
        feed = write_feed(tmp_path / "feed", list(pages), items, list(unlabelled))
        prepare_impressions(feed, read_items(feed), tmp_path / "out", history=history)
        return Impressions.open(tmp_path / "out")

    return make


def row_of(item):
    return len(ITEMS) - 1 - int(item[1:])  # the feed's order is reversed when it is written


def test_candidates_and_clicks_in_the_order_of_the_file(prepare):
    made = prepare(
        page(2, ["N3", "N1"], clicked=["N1"]), page(1, ["N0", "N2", "N4"], clicked=["N0"])
    )
    rows = made.select("train")
    assert made.ids[rows].tolist() == [1, 2]
    positions, offsets = made.positions(rows)
    assert offsets.tolist() == [0, 3, 5]
    assert made.items[positions].tolist() == [row_of(n) for n in ("N0", "N2", "N4", "N3", "N1")]
    assert made.clicked[positions].tolist() == [1, 0, 0, 0, 1]


def test_the_most_recent_clicks_count_and_equal_histories_are_one(prepare):
    made = prepare(
        page(1, ["N0", "N1"], ["N0", "N1", "N2", "N3"]),
        page(2, ["N0", "N1"], ["N4", "N1", "N2", "N3"]),
        page(3, ["N0", "N1"], ["N2"]),
        page(4, ["N0", "N1"]),
    )
    of = dict(zip(made.ids.tolist(), made.history.tolist(), strict=True))
    assert len(made.histories) == 2
    assert of[1] == of[2]
    assert made.histories[of[1]].tolist() == [row_of("N1"), row_of("N2"), row_of("N3")]
    assert made.histories[of[3]].tolist() == [-1, -1, row_of("N2")]
    assert of[4] == len(made.histories)


def test_items_that_nobody_described_are_shown_but_not_read(prepare):
    made = prepare(page(1, ["N9", "N1"], ["N9", "N1"]), page(2, ["N1", "N0"], ["N9"]))
    positions, _ = made.positions(made.select("train"))
    assert made.items[positions].tolist() == [len(ITEMS), row_of("N1"), row_of("N1"), row_of("N0")]
    assert made.histories.tolist() == [[-1, -1, row_of("N1")]]
    assert sorted(made.history.tolist()) == [0, 1]


def test_nobody_has_a_history(prepare):
    made = prepare(page(1, ["N0", "N1"]))
    assert made.histories.shape == (0, 3)
    assert made.history.tolist() == [0]


def test_unlabelled_impressions_are_the_test_fold(prepare):
    made = prepare(page(1, ["N0", "N1"]), unlabelled=[page(1, ["N2", "N3"], fold="test")])
    assert [len(made.select(fold)) for fold in ("train", "dev", "test")] == [1, 0, 1]


def test_an_unknown_fold_is_named(prepare):
    with pytest.raises(NewsError, match="'trial'"):
        prepare(page(1, ["N0", "N1"], fold="trial"))


def test_outcomes_of_other_candidates_are_refused(prepare):
    with pytest.raises(NewsError, match="differ in length"):
        prepare(page(1, ["N0", "N1"]) | {"outcomes": [""]})


def test_a_feed_that_tells_of_no_history_is_not_of_news(tmp_path, feed):
    assert has_news(feed)
    assert not has_news(tmp_path)
    (tmp_path / "impressions").mkdir()
    table = pq.read_table(feed / "impressions").drop_columns(["history"])
    pq.write_table(table, tmp_path / "impressions" / "part-00000.parquet")
    assert not has_news(tmp_path)
