"""Similar members: searched over shards, merged, and gone once removed."""

import numpy as np
import pytest

from components.encoder.vectors import MemberVectors, save_member_vectors
from components.neighbours.build import build_from, build_index
from components.neighbours.config import NeighboursConfig
from components.neighbours.errors import NeighboursError
from components.neighbours.index import Neighbours


def cosines(vectors, queries):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return queries / np.linalg.norm(queries, axis=1, keepdims=True) @ unit.T


def test_the_nearest_members_come_first_with_their_cosine(build, crowd):
    queries = crowd[5:600:17] * 3
    found = build(crowd).search(queries, 10)
    best = -np.sort(-cosines(crowd, queries), axis=1)[:, :10]
    np.testing.assert_allclose(found.similarity, best, atol=1e-6)
    own = np.take_along_axis(cosines(crowd, queries), found.rows, axis=1)
    np.testing.assert_allclose(own, best, atol=1e-6)


@pytest.mark.parametrize("shards", [2, 7, 16])
def test_how_many_shards_there_are_does_not_matter(build, crowd, shards):
    whole, parts = build(crowd), build(crowd, "parts", shards=shards)
    queries = crowd[::31]
    for first, second in zip(whole.search(queries, 25), parts.search(queries, 25), strict=True):
        np.testing.assert_array_equal(first, second)


def test_equal_members_come_in_the_order_of_their_rows(build, crowd):
    found = build(crowd, shards=3).search(crowd[:1], 15)
    assert found.rows[0].tolist() == [0, *range(700, 714)]


def test_only_members_similar_enough_are_returned(build, crowd):
    index = build(crowd)
    found, close = index.search(crowd[:9], 200), index.search(crowd[:9], 200, at_least=0.8)
    near = found.similarity >= 0.8
    assert near.any()
    assert not near.all()
    np.testing.assert_array_equal(close.rows, np.where(near, found.rows, -1))
    np.testing.assert_array_equal(close.similarity, np.where(near, found.similarity, 0))


def test_more_neighbours_than_members_leave_places_empty(build):
    found = build(np.eye(3), shards=2).search(np.eye(3)[:1], 5)
    assert found.rows[0].tolist() == [0, 1, 2, -1, -1]
    assert found.similarity[0].tolist() == [1, 0, 0, 0, 0]


def test_a_member_is_found_by_id_and_its_vector_has_length_one(build, crowd):
    index = build(crowd, shards=4)
    rows = index.rows(["m3", "nobody", "m1400"])
    assert rows.tolist() == [3, -1, 1400]
    unit = crowd[[1400, 3]] / np.linalg.norm(crowd[[1400, 3]], axis=1, keepdims=True)
    np.testing.assert_allclose(index.vectors(rows[[2, 0]]), unit, rtol=1e-6)
    assert (len(index), index.dimension, index.encoder) == (1500, 24, "v1")
    assert index.member_ids[1400].as_py() == "m1400"
    with pytest.raises(NeighboursError, match="no row -1 among 1500"):
        index.vectors(rows)


def test_a_member_without_history_is_left_out_and_counted(tmp_path):
    vectors = np.array([[0, 2], [0, 0], [3, 0]], np.float32)
    config = NeighboursConfig()
    manifest = build_from(["a", "b", "c"], vectors, "v1", tmp_path / "index", config, seed=1)
    index = Neighbours.open(tmp_path / "index")
    assert (manifest.count, manifest.left_out) == (2, 1)
    assert index.rows(["a", "b", "c"]).tolist() == [0, -1, 1]


def test_the_removed_do_not_count_as_without_history(build, tmp_path):
    build(np.eye(3)).remove(["m1"])
    ids = ["m0", "m1", "m2"]
    vectors = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    manifest = build_from(ids, vectors, "v1", tmp_path / "index", NeighboursConfig(), seed=1)
    assert (manifest.count, manifest.left_out) == (1, 1)


def test_a_query_without_history_finds_nobody(build):
    found = build(np.eye(3)).search(np.zeros((1, 3), np.float32), 2)
    assert found.rows.tolist() == [[-1, -1]]


def test_nobody_indexed_is_nobody_found(build):
    index = build(np.zeros((2, 3)), shards=4)
    assert index.search(np.ones((1, 3), np.float32), 2).rows.tolist() == [[-1, -1]]


def test_no_query_finds_no_rows(build):
    assert build(np.eye(3)).search(np.zeros((0, 3), np.float32), 2).rows.shape == (0, 2)


def test_the_same_seed_writes_the_same_files(build, crowd, tmp_path):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        build(crowd, name, seed=seed, shards=3)
    one, same, other = (
        (tmp_path / name / "manifest.json").read_text() for name in ("one", "same", "other")
    )
    assert one == same
    assert one != other


def test_member_vectors_are_indexed_as_the_encoder_wrote_them(tmp_path, crowd):
    import pyarrow as pa

    members = pa.chunked_array([[f"m{row}" for row in range(len(crowd))]])
    save_member_vectors(tmp_path / "vectors", MemberVectors(members, crowd, {}, "enc-7"))
    build_index(tmp_path / "vectors", tmp_path / "index", NeighboursConfig(), seed=1)
    index = Neighbours.open(tmp_path / "index", encoder="enc-7")
    assert index.search(crowd[3:4], 1).rows.tolist() == [[3]]
    with pytest.raises(NeighboursError, match="encoder enc-7, not of enc-8"):
        Neighbours.open(tmp_path / "index", encoder="enc-8")


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (np.ones((1, 5)), r"must be \[q, 24\].*not \[1, 5\]"),
        (np.ones(24), r"must be \[q, 24\].*not \[24\]"),
        (np.where(np.eye(3, 24), np.nan, 1), "query 0: the vector holds NaN"),
    ],
)
def test_a_query_that_cannot_be_compared_is_refused(build, crowd, queries, message):
    with pytest.raises(NeighboursError, match=message):
        build(crowd).search(queries, 3)


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        (["a", "b"], [[1, 0], [np.nan, 1]], "member b: the vector holds NaN or infinity"),
        (["a", "b"], [[np.inf, 0], [1, 1]], "member a: the vector holds NaN or infinity"),
        (["a", "b", "a"], [[1, 0], [0, 1], [1, 1]], "member a comes more than once"),
        (["a"], [[1, 0], [0, 1]], "1 members, but 2 vectors"),
        (["a"], [1.0], r"must be \[n, d\], not \[1\]"),
    ],
)
def test_vectors_that_cannot_be_indexed_leave_the_old_index(build, tmp_path, ids, vectors, message):
    build(np.eye(3))
    with pytest.raises(NeighboursError, match=message):
        build(vectors, ids=ids)
    assert len(Neighbours.open(tmp_path / "index")) == 3


def test_a_removed_member_is_not_found_again(build, crowd, tmp_path):
    index = build(crowd, shards=3)
    assert index.remove(["m0", "m701", "stranger"]) == 2
    for opened in (index, Neighbours.open(tmp_path / "index")):
        assert opened.search(crowd[:1], 3).rows.tolist() == [[700, 702, 703]]
        assert opened.rows(["m0", "m1"]).tolist() == [-1, 1]


def test_a_removed_member_does_not_come_back_with_the_next_index(build, crowd, tmp_path):
    build(crowd).remove(["m0", "stranger"])
    again = build(crowd, ids=[*(f"m{row}" for row in range(1499)), "stranger"])
    assert len(again) == 1498
    assert again.rows(["m0", "stranger", "m1"]).tolist() == [-1, -1, 0]
    build_from(
        ["m0", "m1"],
        crowd[:2],
        "v1",
        tmp_path / "elsewhere",
        NeighboursConfig(),
        seed=1,
        previous=tmp_path / "index",
    )
    assert Neighbours.open(tmp_path / "elsewhere").rows(["m0", "m1"]).tolist() == [-1, 0]
