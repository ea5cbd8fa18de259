"""Splits: a member's part follows from his id and the seed alone."""

import numpy as np
import pytest

from components.activity.split import TEST, TRAIN, VALIDATION, member_split

MEMBERS = [f"member {i}" for i in range(20_000)]


def split(members=MEMBERS, *, seed=7, validation=0.1, test=0.2):
    return member_split(members, seed=seed, validation=validation, test=test)


@pytest.mark.parametrize(
    ("part", "share"), [(TRAIN, 0.7), (VALIDATION, 0.1), (TEST, 0.2)], ids=["train", "val", "test"]
)
def test_parts_have_their_share_of_members(part, share):
    assert np.mean(split() == part) == pytest.approx(share, abs=0.01)


def test_a_member_keeps_his_part_whoever_else_is_there():
    some = [17, 3, 12_000, 4_711]
    assert split([MEMBERS[i] for i in some]).tolist() == split()[some].tolist()


@pytest.mark.parametrize("kept", [VALIDATION, TEST])
def test_larger_shares_take_members_from_train_only(kept):
    larger = split(validation=0.3, test=0.4)
    assert (larger[split() == kept] == kept).all()


def test_another_seed_draws_another_split():
    assert np.mean(split() == split(seed=8)) < 0.7


def test_the_split_of_a_member_never_changes_between_releases():
    assert split(["ann", "bob", "çelik", "王芳", ""]).tolist() == [2, 0, 1, 0, 0]


def test_numpy_ids_are_read_as_text():
    assert split(np.array(MEMBERS[:100])).tolist() == split(MEMBERS[:100]).tolist()


def test_nobody_is_split_to_nothing():
    assert split([]).dtype == np.int8
    assert (split(validation=0, test=0) == TRAIN).all()
    assert (split(validation=0, test=1) == TEST).all()
