"""Generate news traffic in the format of MIND: what to test with, and to try a recipe on.

Source of the format: Wu et al., MIND: A Large-scale Dataset for News Recommendation (ACL 2020),
and the description that comes with the data set.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.files import whole_directory
from components.newsroom.catalogue import DEV, TEST, TRAIN, build_catalogue
from components.newsroom.config import NewsroomConfig
from components.newsroom.texts import item_ids, news_lines
from components.newsroom.traffic import Clicks, Newsroom, Pages
from components.progress import progress

FOLDERS = {TRAIN: "train", DEV: "dev", TEST: "test"}
NEWS, BEHAVIORS = "news.tsv", "behaviors.tsv"
START = int(datetime(2019, 10, 12, tzinfo=UTC).timestamp())
DAY = 86_400
STRING = pa.string()


def generate_news(config: NewsroomConfig, target: Path, *, seed: int) -> dict[str, int]:
    """Write the folders train, dev and test of a generated news site, all or nothing.

    Each has `news.tsv`, the items that its members were shown or had read, and `behaviors.tsv`, the
    pages they were shown, without clicks in test. Members read what they are interested in, what
    is about entities they follow, and what is good; interests drift; most items of a part are new
    in it. Members are drawn `config.chunk` at a time, so memory does not grow with their number.

    Args:
        config: sizes and rates.
        target: directory to create or replace.
        seed: decides everything random; with it the files are the same to the byte.

    Returns:
        Pages of each folder by its name, and `items` published.
    """
    catalogue = build_catalogue(config, seed=seed)
    room = Newsroom(catalogue, config)
    ids = pa.array(item_ids(catalogue, seed=seed))
    told = {period: np.zeros(config.items, bool) for period in FOLDERS}
    counts = dict.fromkeys(FOLDERS.values(), 0)
    with whole_directory(target) as aside, ExitStack() as stack:
        files: dict[int, TextIO] = {}
        for period, folder in FOLDERS.items():
            (aside / folder).mkdir()
            path = aside / folder / BEHAVIORS
            files[period] = stack.enter_context(path.open("w", newline="\n"))
        with progress("generating news traffic", total=config.users) as bar:
            for number, first in enumerate(range(0, config.users, config.chunk)):
                count = min(config.chunk, config.users - first)
                rng = np.random.default_rng([seed, 1, number])
                for period, pages, histories in _periods(rng, room, count):
                    told[period][pages.item] = True
                    told[period][histories.items] = True
                    names = _Names(ids, first + 1, counts[FOLDERS[period]] + 1)
                    for line in _lines(names, pages, histories, labels=period != TEST):
                        files[period].write(f"{line}\n")
                    counts[FOLDERS[period]] += len(pages.member)
                bar.advance(count)
        lines = news_lines(catalogue, ids.to_pylist(), config, seed=seed)
        for period, folder in FOLDERS.items():
            order = np.random.default_rng([seed, 4, period]).permutation(config.items)
            kept = order[told[period][order]].tolist()
            text = "".join(f"{lines[item]}\n" for item in kept)
            (aside / folder / NEWS).write_text(text, newline="\n")
    return {**counts, "items": config.items}


class _Histories(NamedTuple):
    """What was read before each page: items[offsets[i]:offsets[i + 1]], earliest first."""

    items: NDArray[np.int64]
    offsets: NDArray[np.int64]


class _Names(NamedTuple):
    """How numbers are written: items, and the first member and page of a chunk."""

    items: pa.StringArray
    first_member: int
    first_page: int


def _periods(
    rng: np.random.Generator, room: Newsroom, count: int
) -> Iterator[tuple[int, Pages, _Histories]]:
    """Yield each part's pages, by member, and what had been read when the part began."""
    members = room.members(rng, count)
    read = room.history(rng, members)
    for period in FOLDERS:
        pages = room.pages(rng, members, period)
        yield period, pages, _histories(read, pages.member, count)
        read = read.and_then(pages.clicks())


def _histories(read: Clicks, member: NDArray[np.int64], count: int) -> _Histories:
    begins = np.searchsorted(read.member, np.arange(count + 1))
    lengths = np.diff(begins)[member]
    offsets = np.append(0, np.cumsum(lengths))
    place = np.arange(offsets[-1]) + np.repeat(begins[member] - offsets[:-1], lengths)
    return _Histories(read.item[place], offsets)


def _lines(names: _Names, pages: Pages, histories: _Histories, *, labels: bool) -> list[str]:
    count = len(pages.member)
    shown = names.items.take(pa.array(pages.item))
    if labels:
        marks = pa.array(["-0", "-1"]).take(pa.array(pages.clicked.astype(np.int8)))
        shown = pc.binary_join_element_wise(shown, marks, "")
    seconds = START + np.floor(pages.day * DAY).astype(np.int64)
    columns = (
        pa.array(range(names.first_page, names.first_page + count)).cast(STRING),
        pa.array([f"U{names.first_member + member}" for member in pages.member.tolist()], STRING),
        pa.array([_clock(second) for second in seconds.tolist()], STRING),
        _joined(names.items.take(pa.array(histories.items)), histories.offsets),
        _joined(shown, pages.offsets),
    )
    return pc.binary_join_element_wise(*columns, "\t").to_pylist()


def _joined(texts: pa.StringArray, offsets: NDArray[np.int64]) -> pa.StringArray:
    lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), texts)
    return pc.binary_join(lists, " ")


def _clock(second: int) -> str:
    time = datetime.fromtimestamp(second, UTC)
    return f"{time.month}/{time.day}/{time.year} {time:%I:%M:%S %p}"
