"""Training lists: one click and items of the same page that were passed over."""

import numpy as np
import pytest

from components.news.impressions import Impressions
from components.news.lists import clicks_to_learn, draw_lists, training_pairs
from components.news.vectors import NewsVectors


def shown(*pages):
    """Impressions of which each is a string of 1 for clicked and 0 for not."""
    clicked = np.array([int(mark) for page in pages for mark in page], np.int8)
    count = len(pages)
    return Impressions(
        ids=np.arange(count),
        ts=np.arange(count),
        fold=np.zeros(count, np.int8),
        offsets=np.append(0, np.cumsum([len(page) for page in pages])),
        items=np.arange(len(clicked), dtype=np.int32),
        clicked=clicked,
        history=np.arange(count, dtype=np.int32),
        histories=np.zeros((count, 1), np.int32),
    )


def vectors_for(impressions):
    def numbered(count):
        return np.arange(count, dtype=np.float16)[:, None].repeat(2, 1)

    return NewsVectors(numbered(len(impressions.ids) + 1), numbered(len(impressions.items) + 1))


def test_every_click_is_a_list_unless_nothing_was_passed_over():
    made = shown("0110", "11", "00", "01")
    assert clicks_to_learn(made, np.arange(4)).tolist() == [1, 2, 9]
    assert clicks_to_learn(made, np.array([3])).tolist() == [9]


@pytest.mark.parametrize(("passed_over", "distinct"), [(30, 10), (10, 10), (3, None), (1, 1)])
def test_negatives_are_of_the_same_page_and_repeat_only_where_they_must(passed_over, distinct):
    made = shown("0001", "1" + "0" * passed_over, "10")
    clicks = clicks_to_learn(made, np.arange(3))
    owner, lists = draw_lists(made, clicks, 10, np.random.default_rng(0))
    assert owner.tolist() == [0, 1, 2]
    assert lists[:, 0].tolist() == clicks.tolist()
    for row, page in zip(lists, owner, strict=True):
        inside = (row >= made.offsets[page]) & (row < made.offsets[page + 1])
        assert inside.all()
        assert not made.clicked[row[1:]].any()
    if distinct is not None:
        assert len(set(lists[1, 1:].tolist())) == distinct


def test_an_epoch_learns_from_every_click_once():
    made = shown(*["100"] * 12)
    clicks = clicks_to_learn(made, np.arange(12))
    options = {"batch": 4, "negatives": 2, "seed": 3}
    steps = [training_pairs(made, clicks, vectors_for(made), step=n, **options) for n in range(3)]
    learnt = [int(pairs.items[item, 0]) for pairs in steps for item in pairs.item[::3]]
    assert sorted(learnt) == clicks.tolist()


def test_the_same_step_draws_the_same_and_another_does_not():
    made = shown(*["1" + "0" * 20] * 8)
    clicks = clicks_to_learn(made, np.arange(8))

    def items(step, seed=0):
        pairs = training_pairs(
            made, clicks, vectors_for(made), step=step, batch=8, negatives=5, seed=seed
        )
        return pairs.items[pairs.item, 0].tolist()

    assert items(0) == items(0)
    assert items(0) != items(1)
    assert items(0) != items(0, seed=1)


def test_pairs_have_the_vectors_of_their_member_and_item_each_once():
    made = shown("100", "010")
    clicks = clicks_to_learn(made, np.arange(2))
    pairs = training_pairs(made, clicks, vectors_for(made), step=0, batch=2, negatives=4, seed=0)
    assert len(np.unique(pairs.items[:, 0])) == len(pairs.items) <= 6
    owner = pairs.users[pairs.user, 0]  # history n is that of impression n
    item = pairs.items[pairs.item, 0]
    np.testing.assert_array_equal(owner, item // 3)
