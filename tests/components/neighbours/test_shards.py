"""Shards with an index: clusters or a graph find what comparing everyone finds, nearly always."""

import json

import numpy as np
import pytest

from components.neighbours.curve import curve, recall
from components.neighbours.errors import NeighboursError
from components.neighbours.index import Neighbours

KINDS = ["clusters", "hnsw"]


@pytest.fixture(scope="module")
def groups():
    """6,000 vectors of 60 groups in 32 dimensions, of which a few tell them apart, and queries."""
    random = np.random.default_rng(11)
    scale = 0.85 ** np.arange(32)
    vectors = random.normal(size=(60, 32))[random.integers(0, 60, 6200)]
    vectors = ((vectors + 0.5 * random.normal(size=vectors.shape)) * scale).astype(np.float32)
    return vectors[:6000], vectors[6000:]


@pytest.mark.parametrize("head", [0, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_an_index_finds_nearly_all_of_the_nearest(build, groups, kind, head):
    vectors, queries = groups
    index = build(vectors, index=kind, head=head, shards=2)
    assert index.kind == kind
    truth = index.search(queries, 10, compare_all=True)
    assert recall(index.search(queries, 10), truth) > 0.98
    alone = index.search(queries[:3], 10)
    assert recall(alone, index.search(queries[:3], 10, compare_all=True)) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_similarities_are_the_same_whatever_found_the_member(build, groups, kind):
    vectors, queries = groups
    index = build(vectors, index=kind)
    found, truth = index.search(queries, 10), index.search(queries, 10, compare_all=True)
    same = found.rows == truth.rows
    np.testing.assert_array_equal(found.similarity[same], truth.similarity[same])
    assert np.all(np.diff(found.similarity, axis=1) <= 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_builds_the_same_index(build, groups, kind, tmp_path):
    for name in ("one", "two"):
        build(groups[0], name, index=kind, shards=2)
    one, two = ((tmp_path / name / "manifest.json").read_text() for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("kind", ["exact", *KINDS])
def test_removed_members_make_room_for_the_next_nearest(build, groups, kind):
    vectors, queries = groups
    index = build(vectors, index=kind)
    nearest = index.search(queries[:1], 200, compare_all=True).rows[0]
    index.remove([f"m{row}" for row in nearest[:100]])
    next_nearest = index.search(queries[:1], 50)
    assert np.isin(next_nearest.rows, nearest[100:]).mean() > 0.9
    assert not np.isin(index.search(queries[:20], 50).rows, nearest[:100]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_is_left_is_found_when_nearly_all_were_removed(build, groups, kind):
    vectors, queries = groups
    index = build(vectors, index=kind, shards=2)
    index.remove([f"m{row}" for row in range(6000) if row % 500])
    found = index.search(queries, 15)
    assert np.all(np.sort(found.rows[:, :12], axis=1) == np.arange(0, 6000, 500))
    assert np.all(found.rows[:, 12:] == -1)


@pytest.mark.parametrize("kind", KINDS)
def test_more_neighbours_than_members_are_padded(build, groups, kind):
    index = build(groups[0][:40], index=kind)
    found = index.search(groups[1][:20], 60)
    assert np.all(found.rows[:, 40:] == -1)
    assert np.all(found.similarity[:, 40:] == 0)


@pytest.mark.parametrize("damage", [b"", b"short"])
@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("clusters", "shard-0000.heads.npy"),
        ("clusters", "shard-0000.lists.npz"),
        ("hnsw", "shard-0000.faiss"),
        ("hnsw", "shard-0000.axes.npy"),
    ],
)
def test_a_damaged_index_of_a_shard_is_refused(build, groups, tmp_path, kind, file, damage):
    build(groups[0][:500], index=kind, head=8)
    (tmp_path / "index" / file).write_bytes(damage)
    with pytest.raises(NeighboursError, match=f"{file}: {len(damage)} bytes, the manifest says"):
        Neighbours.open(tmp_path / "index")


def test_few_members_are_compared_one_and_all(build, groups):
    assert build(groups[0][:1000]).kind == "exact"
    assert build(groups[0], exact_members=5999).kind == "clusters"
    assert build(groups[0], exact_members=6000).kind == "exact"


def test_members_that_no_axes_tell_apart_are_compared_one_and_all(build):
    noise = np.random.default_rng(1).normal(size=(3000, 128))
    assert build(noise, exact_members=0).kind == "exact"


def test_how_far_a_search_has_to_look_is_written_beside_the_shard(build, groups, tmp_path):
    build(groups[0], index="clusters")
    efforts = json.loads((tmp_path / "index" / "manifest.json").read_text())["shards"][0][
        "settings"
    ]["efforts"]
    assert [effort["k"] for effort in efforts][:1] == [10]
    assert all(effort["probes"] >= 1 and effort["shortlist"] >= effort["k"] for effort in efforts)


@pytest.mark.parametrize("kind", KINDS)
def test_the_curve_rises_with_the_width(build, groups, kind):
    rows = curve(build(groups[0], index=kind, hnsw_links=8), groups[1], [1, 4, 64])
    assert [(row["index"], row["width"]) for row in rows] == [
        ("exact", None),
        *((kind, width) for width in (1, 4, 64)),
    ]
    shares = [row["recall"] for row in rows[1:]]
    assert shares == sorted(shares)
    assert shares[-1] > 0.95
    assert all(row["queries_per_cpu_second"] > 0 for row in rows)
