"""Batches: chunks hold every subword once, and packing adds no padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.encoder.batching import _cut, contexts, cut_chunks, epoch_order, pack


def cut(sessions_of, *, limit=10, members=None, seed=0):
    """Cut members given as lists of session lengths; return (start, end, cut) rows."""
    members = range(len(sessions_of)) if members is None else members
    offsets = np.cumsum([0, *(n for sessions in sessions_of for n in sessions)])
    bounds = np.cumsum([0, *(len(sessions) for sessions in sessions_of)])
    chunks = _cut(offsets, bounds, np.array(members, np.int64), limit, np.uint64(seed))
    return list(zip(*(column.tolist() for column in chunks), strict=True))


def test_whole_sessions_share_a_chunk_up_to_the_limit():
    assert [row[:2] for row in cut([[4, 6, 1]])] == [(0, 10), (10, 11)]


def test_a_session_longer_than_the_limit_is_cut_into_pieces():
    assert cut([[3, 24, 2]]) == [(0, 3, 3), (3, 13, 13), (13, 23, 23), (23, 27, 27), (27, 29, 29)]


def test_members_do_not_share_a_chunk():
    assert [row[:2] for row in cut([[2], [3]])] == [(0, 2), (2, 5)]


def test_the_second_segment_starts_with_any_session_but_the_first():
    found = {cut([[2, 3, 4]], seed=seed)[0][2] for seed in range(50)}
    assert found == {2, 5}


@given(
    sessions_of=st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=8),
    limit=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_chunks_hold_every_subword_of_the_chosen_members_once(sessions_of, limit, seed):
    members = list(range(0, len(sessions_of), 2))
    offsets = np.cumsum([0, *(n for sessions in sessions_of for n in sessions)])
    bounds = np.cumsum([0, *(len(sessions) for sessions in sessions_of)])
    seen = np.zeros(offsets[-1], int)
    for start, end, middle in cut(sessions_of, limit=limit, members=members, seed=seed):
        assert 0 < end - start <= limit
        assert start <= middle <= end
        assert start in offsets or (start - offsets[offsets <= start].max()) % limit == 0
        assert middle in offsets or middle == end
        seen[start:end] += 1
    wanted = np.zeros_like(seen)
    for member in members:
        wanted[offsets[bounds[member]] : offsets[bounds[member + 1]]] = 1
    np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("split", [0, 1, 2])
def test_only_the_documents_of_the_split_are_cut(corpus, split):
    tokens, _ = corpus.open()
    chunks = cut_chunks(tokens, limit=31, split=split, seed=0)
    for number, shard in enumerate(tokens.shards):
        own = chunks.shard == number
        found = [np.arange(*row) for row in zip(chunks.start[own], chunks.end[own], strict=True)]
        found += [np.empty(0, np.int64)]
        owner = np.repeat(np.arange(len(shard.split)), np.diff(shard.member_offsets))
        owner = np.repeat(owner, np.diff(shard.session_offsets))
        expected = np.flatnonzero(shard.split[owner] == split)
        np.testing.assert_array_equal(np.sort(np.concatenate(found)), expected)
    assert len(chunks)


def test_packing_lays_documents_end_to_end_behind_cls():
    packed = pack([np.array([7, 8, 9]), np.array([], np.int32), np.array([5])], 2, cuts=[1, 0, 1])
    assert packed.ids.tolist() == [2, 7, 8, 9, 2, 2, 5]
    assert packed.positions.tolist() == [0, 1, 2, 3, 0, 0, 1]
    assert packed.segments.tolist() == [0, 0, 1, 1, 0, 0, 0]
    assert packed.offsets.tolist() == [0, 4, 5, 7]
    assert packed.lengths == [4, 1, 2]


def test_without_cuts_there_is_one_segment():
    assert not pack([np.array([7, 8])], 2).segments.any()


def test_a_context_is_the_end_of_what_came_before_the_target(corpus):
    tokens, _ = corpus.open()
    labels = corpus.labels()
    whole, recent = (contexts(tokens, labels, limit=limit) for limit in (None, 9))
    for row, member in enumerate(labels.table["member_id"]):
        (place,) = tokens.rows([member])
        before = tokens.document(int(place), 0, int(labels.table["context_end"][row]))
        np.testing.assert_array_equal(whole(row), before)
        np.testing.assert_array_equal(recent(row), before[-9:])


def test_an_epoch_visits_everything_in_an_order_of_its_own():
    orders = [epoch_order(50, epoch=epoch, seed=0) for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    np.testing.assert_array_equal(orders[1], epoch_order(50, epoch=1, seed=0))
    assert tuple(epoch_order(50, epoch=1, seed=1)) != tuple(orders[1])
