"""Generated news traffic: read as strictly as the official description tells, and with signal."""

import hashlib
import json
import re
from collections import Counter
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pytest

from components.newsroom import generate as room
from components.newsroom.config import NewsroomConfig
from components.newsroom.generate import generate_news

SMALL = NewsroomConfig(users=400, items=1_500, entities=200, chunk=150)
PARTS = ("train", "dev", "test")
TYPES = set("PGOCMJUWRVEBFHKLNSTA")
SPANS = {
    "train": (datetime(2019, 11, 9), datetime(2019, 11, 15)),
    "dev": (datetime(2019, 11, 15), datetime(2019, 11, 16)),
    "test": (datetime(2019, 11, 16), datetime(2019, 11, 23)),
}


class News(NamedTuple):
    category: str
    subcategory: str
    title: str
    abstract: str
    entities: list[str]


class Page(NamedTuple):
    user: str
    time: datetime
    history: list[str]
    items: list[str]
    clicks: list[int] | None


def read_news(path):
    news = {}
    for line in path.read_bytes().decode().removesuffix("\n").split("\n"):
        item, category, subcategory, title, abstract, url, *told = line.split("\t")
        assert re.fullmatch(r"N[0-9]+", item)
        assert item not in news
        assert category
        assert subcategory
        assert title
        assert url.startswith("https://")
        entities = []
        for text, json_text in zip((title, abstract), told, strict=True):
            for entity in json.loads(json_text or "[]"):
                assert set(entity) == {
                    "Label",
                    "Type",
                    "WikidataId",
                    "Confidence",
                    "OccurrenceOffsets",
                    "SurfaceForms",
                }
                assert entity["Type"] in TYPES
                assert re.fullmatch(r"Q[0-9]+", entity["WikidataId"])
                assert 0 <= entity["Confidence"] <= 1
                (place,), (surface,) = entity["OccurrenceOffsets"], entity["SurfaceForms"]
                assert text[place:].startswith(surface)
                entities.append(entity["WikidataId"])
        news[item] = News(category, subcategory, title, abstract, entities)
    return news


def read_behaviors(path, *, labels):
    pages = []
    lines = path.read_bytes().decode().removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        impression, user, time, history, shown = line.split("\t")
        assert impression == str(number)
        assert re.fullmatch(r"U[0-9]+", user)
        pattern = r"N[0-9]+-[01]" if labels else r"N[0-9]+"
        assert re.fullmatch(rf"{pattern}( {pattern})*", shown)
        assert re.fullmatch(r"(N[0-9]+( N[0-9]+)*)?", history)
        items, _, marks = zip(*(text.partition("-") for text in shown.split(" ")), strict=True)
        clicks = list(map(int, marks)) if labels else None
        when = datetime.strptime(time, "%m/%d/%Y %I:%M:%S %p")
        pages.append(Page(user, when, history.split(), list(items), clicks))
    return pages


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("newsroom") / "mind"
    generate_news(SMALL, target, seed=3)
    return target


@pytest.fixture(scope="module")
def news(folder):
    return {part: read_news(folder / part / "news.tsv") for part in PARTS}


@pytest.fixture(scope="module")
def pages(folder):
    return {
        part: read_behaviors(folder / part / "behaviors.tsv", labels=part != "test")
        for part in PARTS
    }


def digests(target):
    return {
        path.relative_to(target): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in target.rglob("*.tsv")
    }


@pytest.mark.parametrize("part", PARTS)
def test_the_format_is_the_official_one_and_each_part_knows_its_items(news, pages, part):
    assert len(pages[part]) > 40
    first, end = SPANS[part]
    for page in pages[part]:
        assert first <= page.time < end
        assert len(set(page.items)) == len(page.items) <= 300
        assert {*page.items, *page.history} <= set(news[part])
        assert page.clicks is None or sum(page.clicks) >= 1


def test_a_part_tells_of_an_item_as_any_other_part_does(news):
    shared = set(news["train"]) & set(news["dev"])
    assert shared
    assert all(news["train"][item] == news["dev"][item] for item in shared)


def test_most_items_shown_in_a_part_are_new_in_it(news, pages):
    for part, earlier in (("dev", ["train"]), ("test", ["train", "dev"])):
        shown = {item for page in pages[part] for item in page.items}
        known = set().union(*(news[before] for before in earlier))
        assert 0.8 < len(shown - known) / len(shown) < 0.95


def test_there_is_every_oddity_that_real_news_has(news, pages):
    items = list(news["test"].values())
    assert any(not item.abstract for item in items)
    assert any(not item.entities for item in items)
    assert any('"' in item.title for item in items)
    assert any(not item.title.isascii() for item in items)
    assert any(not page.history for page in pages["train"])


def test_a_history_holds_what_was_clicked_in_the_parts_before(pages):
    clicked: Counter[tuple[str, str]] = Counter()
    for page in pages["train"]:
        for item, click in zip(page.items, page.clicks, strict=True):
            clicked[page.user, item] += click
    later = {page.user: set(page.history) for page in pages["dev"]}
    told = [item in later[user] for (user, item), n in clicked.items() if n and user in later]
    assert told
    assert all(told)


def test_members_click_what_they_have_read_about(news, pages):
    """A page's clicked items are of topics in the member's history more often than the others."""
    liked: dict[int, list[float]] = {0: [], 1: []}
    for page in pages["dev"]:
        topics = Counter(news["dev"][item].subcategory for item in page.history)
        for item, click in zip(page.items, page.clicks, strict=True):
            liked[click].append(topics[news["dev"][item].subcategory] / (1 + len(page.history)))
    assert np.mean(liked[1]) > 1.4 * np.mean(liked[0])


def test_a_click_says_nothing_of_the_place(pages):
    places = [
        np.flatnonzero(page.clicks).mean() / (len(page.items) - 1)
        for page in pages["train"]
        if len(page.items) > 1
    ]
    assert abs(np.mean(places) - 0.5) < 0.03


def test_the_words_and_entities_of_a_title_tell_its_topic(news):
    golf = [item for item in news["train"].values() if item.subcategory == "golf"]
    others = [item for item in news["train"].values() if item.subcategory != "golf"]
    words = {"fairway", "birdie", "putt", "caddie", "bogey", "clubhouse", "major", "tee"}

    def share(items):
        return np.mean([bool(words & set(re.findall(r"\w+", i.title.lower()))) for i in items])

    assert share(golf) > 0.95
    assert share(others) < 0.1
    entities = Counter(entity for item in golf for entity in item.entities)
    elsewhere = Counter(entity for item in others for entity in item.entities)
    often = [entity for entity, count in entities.items() if count >= 3]
    assert often
    assert np.median([elsewhere[e] / (elsewhere[e] + entities[e]) for e in often]) < 0.5


def test_a_seed_gives_the_same_bytes_and_another_one_others(folder, tmp_path):
    generate_news(SMALL, tmp_path / "again", seed=3)
    generate_news(SMALL, tmp_path / "other", seed=4)
    assert digests(tmp_path / "again") == digests(folder)
    assert not set(digests(tmp_path / "other").values()) & set(digests(folder).values())


def test_sizes_at_their_limits(tmp_path):
    config = NewsroomConfig(users=1, items=200, entities=50, without_history=1, without_entities=1)
    generate_news(config, tmp_path / "one", seed=1)
    assert {path.name for path in tmp_path.iterdir()} == {"one"}
    assert (tmp_path / "one/test/behaviors.tsv").exists()


def test_a_run_that_fails_leaves_what_was_there(folder, tmp_path, monkeypatch):
    generate_news(SMALL, tmp_path / "mind", seed=3)

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "news_lines", full_disk)
    with pytest.raises(OSError, match="No space left"):
        generate_news(SMALL, tmp_path / "mind", seed=4)
    assert digests(tmp_path / "mind") == digests(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mind"]
