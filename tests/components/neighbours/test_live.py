"""An index that is rebuilt while others search it."""

import threading

import numpy as np

from components.neighbours.errors import NeighboursError
from components.neighbours.index import Neighbours
from components.neighbours.live import LiveNeighbours


def test_a_new_version_answers_once_it_is_in_place(build, crowd, tmp_path):
    build(crowd[:100])
    live = LiveNeighbours(tmp_path / "index")
    assert len(live.current()) == 100
    build(crowd)
    assert len(live.current()) == 1500
    assert live.search(crowd[900:901], 1).rows.tolist() == [[900]]


def test_every_search_sees_one_whole_version(build, crowd, tmp_path):
    """While versions alternate, each answer is right for the one or for the other."""
    build(crowd)
    live = LiveNeighbours(tmp_path / "index")
    right = {tuple(build(part, "other").search(crowd[:1], 3).rows[0]) for part in (crowd, -crowd)}
    seen, stop, failures = set(), threading.Event(), []

    def search():
        while not stop.is_set():
            try:
                seen.add(tuple(live.search(crowd[:1], 3).rows[0]))
            except Exception as error:
                failures.append(error)

    searchers = [threading.Thread(target=search) for _ in range(3)]
    for searcher in searchers:
        searcher.start()
    for version in range(10):
        build(-crowd if version % 2 else crowd, shards=1 + version % 3)
    stop.set()
    for searcher in searchers:
        searcher.join()
    assert not failures
    assert seen <= right


def test_a_damaged_new_version_is_told_and_the_old_one_goes_on(build, crowd, tmp_path):
    build(crowd[:100])
    live = LiveNeighbours(tmp_path / "index")
    build(crowd)
    (tmp_path / "index" / "members.arrow").write_bytes(b"")
    assert len(live.current()) == 100
    assert isinstance(live.refused, NeighboursError)
    build(crowd[:50])
    assert len(live.current()) == 50
    assert live.refused is None


def test_a_version_of_another_encoder_is_not_served(build, crowd, tmp_path):
    from components.neighbours.build import build_from
    from components.neighbours.config import NeighboursConfig

    build(crowd[:100])
    live = LiveNeighbours(tmp_path / "index", encoder="v1")
    ids = [str(row) for row in range(50)]
    build_from(ids, crowd[:50], "v2", tmp_path / "index", NeighboursConfig(), seed=1)
    assert len(live.current()) == 100
    assert "encoder v2, not of v1" in str(live.refused)


def test_a_member_removed_elsewhere_disappears_here(build, crowd, tmp_path):
    build(crowd)
    live = LiveNeighbours(tmp_path / "index")
    Neighbours.open(tmp_path / "index").remove(["m5"])
    assert live.search(crowd[5:6], 1).rows[0, 0] != 5


def test_a_member_removed_while_the_next_version_is_built_stays_away(build, crowd, tmp_path):
    build(crowd)
    live = LiveNeighbours(tmp_path / "index")
    opened = live.current()
    build(crowd)
    opened.remove(["m5"])
    assert np.all(live.search(crowd[5:6], 100).rows != 5)
