"""Activity vectors: which chunks they are of, and what a day's refresh costs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.encoder.batching import pack
from components.encoder.config import EmbedConfig
from components.encoder.embed import (
    Embedder,
    chunk_key,
    embed_examples,
    embed_members,
    recent_chunks,
    recent_part,
)
from components.encoder.engines import batches, equal_lengths, fastest_engine, make_encode
from components.encoder.errors import EncoderError
from components.encoder.vectors import (
    NEWEST,
    MemberVectors,
    load_vectors,
    merge_member_vectors,
    save_vectors,
)
from components.encoder.weights import load_encoder
from tests.components.encoder.conftest import TINY

LIMIT = TINY.max_tokens - 1


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [
        (0, 5, []),
        (1, 5, [(0, 1)]),
        (10, 5, [(0, 10)]),
        (11, 5, [(1, 11), (0, 10)]),
        (20, 5, [(10, 20), (0, 10)]),
        (21, 5, [(11, 21), (10, 20), (0, 10)]),
        (45, 5, [(35, 45), (30, 40), (20, 30), (10, 20), (0, 10)]),
        (55, 5, [(45, 55), (40, 50), (30, 40), (20, 30), (10, 20)]),
        (55, 2, [(45, 55), (40, 50)]),
        (55, 1, [(45, 55)]),
    ],
)
def test_recent_chunks_are_the_newest_and_the_closed_before_it(length, count, expected):
    chunks = recent_chunks(np.arange(length), 10, count)
    assert [(int(c[0]), int(c[-1]) + 1) for c, _ in chunks] == expected
    assert [closed for _, closed in chunks] == [False, *[True] * (len(expected) - 1)][: len(chunks)]


@given(length=st.integers(1, 200), more=st.integers(0, 50))
def test_closed_chunks_never_change(length, more):
    before, after = (recent_chunks(np.arange(n), 10, 99) for n in (length, length + more))
    closed_before, closed_after = (
        {chunk_key(chunk) for chunk, closed in chunks if closed} for chunks in (before, after)
    )
    assert closed_before <= closed_after


@given(length=st.integers(0, 200), more=st.integers(0, 50), count=st.integers(1, 5))
def test_the_recent_part_stands_for_the_whole_also_as_both_grow(length, more, count):
    whole = np.arange(length + more)
    kept = np.concatenate([recent_part(whole[:length], 10, count), whole[length:]])
    expected, found = (recent_chunks(document, 10, count) for document in (whole, kept))
    assert [(c.tolist(), closed) for c, closed in found] == [
        (c.tolist(), closed) for c, closed in expected
    ]


@given(st.lists(st.integers(1, 31), max_size=40))
def test_batches_hold_every_chunk_once_and_no_more_tokens_than_allowed(lengths):
    chunks = [np.zeros(n) for n in lengths]
    grouped = batches(chunks, 50)
    assert sorted(row for batch in grouped for row in batch) == list(range(len(chunks)))
    assert all(sum(lengths[row] + 1 for row in batch) <= 50 for batch in grouped)


@given(st.lists(st.integers(1, 31), max_size=40))
def test_groups_hold_every_chunk_once_in_rectangles(lengths):
    groups = list(equal_lengths([np.zeros(n) for n in lengths], 50))
    assert sorted(row for rows in groups for row in rows) == list(range(len(lengths)))
    for rows in groups:
        (same,) = {lengths[row] for row in rows}
        assert len(rows) == 1 or len(rows) * (same + 1) <= 50


@pytest.fixture(scope="module")
def embedder(save_random):
    return Embedder.load(save_random(), EmbedConfig(chunks=3))


@pytest.fixture(scope="module")
def long_documents():
    random = np.random.default_rng(0)
    lengths = (0, 1, 5, LIMIT, LIMIT + 1, 2 * LIMIT, 5 * LIMIT + 7)
    return [random.integers(8, 250, length).astype(np.int32) for length in lengths]


def by_definition(directory, documents, pooling, chunks):
    bert = load_encoder(directory).bert
    vectors = []
    for document in documents:
        recent = [chunk for chunk, _ in recent_chunks(document, LIMIT, chunks)]
        with torch.no_grad():
            pooled = [bert.pooled(pack([chunk], 2), pooling).numpy()[0] for chunk in recent]
        vectors.append(np.mean(pooled, axis=0) if pooled else np.zeros(2 * TINY.hidden))
    return np.array(vectors)


def test_a_vector_is_the_mean_over_the_recent_chunks(save_random, embedder, long_documents):
    expected = by_definition(save_random(), long_documents, "mean_last4", 3)
    found = embedder.embed(long_documents)
    assert found.dtype == np.float32
    assert found.shape == (len(long_documents), embedder.dimension)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_fine_tuned_encoder_brings_its_pooling(save_random, long_documents):
    directory = save_random(pooling="cls_last4")
    found = Embedder.load(directory, EmbedConfig(pooling="mean_last4")).embed(long_documents)
    expected = by_definition(directory, long_documents, "cls_last4", 5)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("engine", "pooling"),
    [
        ("onnxruntime", "cls"),
        ("onnxruntime", "mean"),
        ("onnxruntime", "cls_last4"),
        ("onnxruntime", "mean_last4"),
        ("openvino", "cls_last4"),
        ("openvino", "mean_last4"),
    ],
)
def test_every_engine_gives_the_vectors_of_torch(pretrained, long_documents, engine, pooling):
    chunks = [document[:LIMIT] for document in long_documents if len(document)] * 3
    expected, found = (
        make_encode(load_encoder(pretrained).bert, 2, pooling, name, torch.device("cpu"))(chunks)
        for name in ("torch", engine)
    )
    cosine = np.sum(found * expected, axis=1)
    cosine /= np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert cosine.min() >= 0.9999
    if fastest_engine(torch.device("cpu")) == "onnxruntime":  # without bf16 all compute in fp32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("device", "bf16", "engine"),
    [("cpu", True, "openvino"), ("cpu", False, "onnxruntime"), ("cuda", True, "torch")],
)
def test_the_fastest_engine_follows_the_device(monkeypatch, device, bf16, engine):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    assert fastest_engine(torch.device(device)) == engine


def test_an_empty_document_has_the_zero_vector(embedder):
    empty = np.empty(0, np.int32)
    assert not embedder.embed([empty, empty]).any()
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_known_chunks_are_not_encoded_again(embedder, long_documents):
    known = {}
    first = embedder.embed_reusing(long_documents, known)
    assert (first.chunks, first.encoded) == (1 + 1 + 1 + 2 + 2 + 3, 10)
    assert set(first.closed) == set(known)
    assert len(known) == 4
    again = embedder.embed_reusing(long_documents, known)
    assert (again.chunks, again.encoded) == (10, 6)
    np.testing.assert_allclose(again.vectors, first.vectors, rtol=0, atol=1e-6)


def test_a_chunk_that_members_share_is_encoded_once(embedder, long_documents):
    embedded = embedder.embed_reusing([long_documents[-1]] * 3, {})
    assert (embedded.chunks, embedded.encoded) == (9, 3 + 2)
    np.testing.assert_allclose(embedded.vectors[0], embedded.vectors[2], rtol=0, atol=1e-6)


def test_examples_have_the_vectors_of_their_contexts(save_random, corpus, tmp_path):
    config = EmbedConfig(chunks=2)
    embed_examples(
        save_random(), corpus.tokens, corpus.examples, tmp_path / "vectors", config=config
    )
    tokens, _ = corpus.open()
    data = corpus.labels()
    contexts = [
        tokens.document(int(tokens.rows([member])[0]), 0, int(end))
        for member, end in zip(data.table["member_id"], data.table["context_end"], strict=True)
    ]
    found = load_vectors(tmp_path / "vectors")
    expected = by_definition(save_random(), contexts, "mean_last4", 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


ONE_PASS = EmbedConfig(chunks=3, contexts="one_pass")


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_one_pass_encodes_the_recent_chunks_together(save_random, long_documents, engine):
    directory = save_random()
    bert = load_encoder(directory).bert
    embedder = Embedder.load(directory, ONE_PASS.model_copy(update={"engine": engine}))
    found = embedder.embed(long_documents)
    recent = [document[-3 * LIMIT :] for document in long_documents[1:]]
    packed = pack(recent, 2, longest=TINY.max_tokens, window=TINY.max_tokens // 2)
    with torch.no_grad():
        expected = bert.pooled(packed, "mean_last4").numpy()
    assert not found[0].any()
    np.testing.assert_allclose(found[1:], expected, rtol=0, atol=1e-2)
    assert np.abs(found[1:] - expected).mean() < 1e-3


def test_one_pass_leaves_the_vectors_of_single_chunks_as_they_are(save_random, long_documents):
    chunks, one_pass = (
        Embedder.load(save_random(), config) for config in (EmbedConfig(chunks=3), ONE_PASS)
    )
    short = [document for document in long_documents if len(document) <= LIMIT]
    np.testing.assert_array_equal(one_pass.embed(short), chunks.embed(short))
    assert one_pass.version != chunks.version


@given(length=st.integers(0, 300), more=st.integers(0, 50))
def test_in_one_pass_too_the_recent_part_stands_for_the_whole(one_pass, length, more):
    whole = np.arange(length + more)
    kept = np.concatenate([one_pass.recent(whole[:length]), whole[length:]])
    np.testing.assert_array_equal(one_pass.recent(kept), one_pass.recent(whole))
    assert one_pass.closed_keys(whole) == []


@pytest.fixture(scope="module")
def one_pass(save_random):
    return Embedder.load(save_random(), ONE_PASS)


def test_in_one_pass_examples_keep_the_vectors_that_fine_tuning_classified(
    save_random, corpus, tmp_path
):
    encoder = save_random()
    for name, config in (("chunks", EmbedConfig(chunks=3)), ("one pass", ONE_PASS)):
        embed_examples(encoder, corpus.tokens, corpus.examples, tmp_path / name, config=config)
    chunks, one_pass = tmp_path / "chunks", tmp_path / "one pass"
    assert np.abs(load_vectors(chunks) - load_vectors(one_pass)).max() > 1e-3
    found, expected = (load_vectors(place, NEWEST) for place in (one_pass, chunks))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def days(write_corpus):
    """Write the same members on two days: on the second every third has more sessions."""
    trails = {f"member {number:02d}": 1 + 2 * (number % 7) for number in range(12)}
    today = write_corpus(trails)
    grown = {m: n + 4 * (i % 3 == 0) for i, (m, n) in enumerate(trails.items())} | {"new": 3}
    return today, write_corpus(grown, like=today, labelled=False)


def refresh(encoder, corpus, target, previous=None, **config):
    config = EmbedConfig(**{"chunks": 3} | config)
    return embed_members(encoder, corpus.tokens, target, config=config, previous=previous)


def test_a_refresh_encodes_only_what_is_new(save_random, days, tmp_path):
    encoder, (today, tomorrow) = save_random(), days
    first = refresh(encoder, today, tmp_path / "today")
    second = refresh(encoder, tomorrow, tmp_path / "tomorrow", tmp_path / "today")
    scratch = refresh(encoder, tomorrow, tmp_path / "scratch")
    before, after = (MemberVectors.open(tmp_path / day).closed for day in ("today", "tomorrow"))
    assert first["encoded"] == first["chunks"]
    assert scratch["encoded"] == scratch["chunks"] == second["chunks"]
    active = 12 // 3 + 1
    assert second["encoded"] == active + len(after.keys() - before.keys())
    assert second["encoded"] < scratch["encoded"]


def test_in_one_pass_a_refresh_encodes_whoever_did_anything(save_random, days, tmp_path):
    encoder, (today, tomorrow) = save_random(), days
    refresh(encoder, today, tmp_path / "chunks")
    how = {"contexts": "one_pass"}
    first = refresh(encoder, today, tmp_path / "today", tmp_path / "chunks", **how)
    second = refresh(encoder, tomorrow, tmp_path / "tomorrow", tmp_path / "today", **how)
    refresh(encoder, tomorrow, tmp_path / "scratch", **how)
    active = 12 // 3 + 1
    assert (first["encoded"], second["encoded"]) == (first["members"], active)
    found, expected = (MemberVectors.open(tmp_path / name) for name in ("tomorrow", "scratch"))
    np.testing.assert_allclose(found.vectors, expected.vectors, rtol=0, atol=1e-6)
    assert not found.closed


def test_a_day_on_which_nothing_happens_encodes_nothing(save_random, days, tmp_path):
    encoder, (today, _) = save_random(), days
    first = refresh(encoder, today, tmp_path / "today")
    again = refresh(encoder, today, tmp_path / "again", tmp_path / "today")
    assert (again["encoded"], again["chunks"]) == (0, first["chunks"])
    found, expected = (MemberVectors.open(tmp_path / name) for name in ("again", "today"))
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    assert found.closed.keys() == expected.closed.keys()


@pytest.mark.parametrize("shards", [1, 3, 20], ids=["one", "some", "more than members"])
def test_shards_together_are_what_one_call_writes(save_random, days, tmp_path, shards):
    encoder, (today, tomorrow) = save_random(), days
    config = EmbedConfig(chunks=3)
    refresh(encoder, today, tmp_path / "today")
    whole = refresh(encoder, tomorrow, tmp_path / "whole", tmp_path / "today")
    parts = [tmp_path / f"part {number}" for number in range(1, shards + 1)]
    counts = [
        embed_members(
            encoder,
            tomorrow.tokens,
            part,
            config=config,
            previous=tmp_path / "today",
            shard=(number, shards),
        )
        for number, part in enumerate(parts, start=1)
    ]
    merge_member_vectors(parts, tmp_path / "merged")
    found, expected = (MemberVectors.open(tmp_path / name) for name in ("merged", "whole"))
    assert found.member_ids == expected.member_ids
    assert found.closed.keys() == expected.closed.keys()
    np.testing.assert_allclose(found.vectors, expected.vectors, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.documents, expected.documents)
    assert sum(count["members"] for count in counts) == whole["members"]
    again = refresh(encoder, tomorrow, tmp_path / "again", tmp_path / "merged")
    assert again["encoded"] == 0


def test_shards_of_different_encoders_are_not_put_together(save_random, days, tmp_path):
    today, _ = days
    parts = [tmp_path / str(seed) for seed in (1, 2)]
    for seed, part in enumerate(parts, start=1):
        refresh(save_random(seed=seed), today, part)
    with pytest.raises(EncoderError, match="parts of 2 encoders"):
        merge_member_vectors(parts, tmp_path / "merged")


def test_another_number_of_chunks_makes_other_vectors(save_random, days, tmp_path):
    encoder, (today, _) = save_random(), days
    refresh(encoder, today, tmp_path / "two", chunks=2)
    refresh(encoder, today, tmp_path / "one", tmp_path / "two", chunks=1)
    refresh(encoder, today, tmp_path / "scratch", chunks=1)
    found, expected = (MemberVectors.open(tmp_path / name) for name in ("one", "scratch"))
    np.testing.assert_allclose(found.vectors, expected.vectors, rtol=0, atol=1e-6)


def test_a_refresh_equals_vectors_made_from_scratch(save_random, days, tmp_path):
    encoder, (today, tomorrow) = save_random(), days
    refresh(encoder, today, tmp_path / "today")
    refresh(encoder, tomorrow, tmp_path / "tomorrow", tmp_path / "today")
    refresh(encoder, tomorrow, tmp_path / "scratch")
    found, expected = (MemberVectors.open(tmp_path / name) for name in ("tomorrow", "scratch"))
    assert found.member_ids == expected.member_ids
    np.testing.assert_allclose(found.vectors, expected.vectors, rtol=0, atol=1e-6)
    assert found.closed.keys() == expected.closed.keys()


def test_chunks_no_longer_recent_are_forgotten(save_random, days, tmp_path):
    encoder, (today, _) = save_random(), days
    refresh(encoder, today, tmp_path / "many", chunks=5)
    refresh(encoder, today, tmp_path / "few", tmp_path / "many", chunks=2)
    many, few = (MemberVectors.open(tmp_path / name).closed for name in ("many", "few"))
    assert few.keys() < many.keys()


def test_vectors_of_another_encoder_are_not_reused(save_random, days, tmp_path):
    today, _ = days
    refresh(save_random(seed=1), today, tmp_path / "one")
    again = refresh(save_random(seed=2), today, tmp_path / "two", tmp_path / "one")
    assert again["encoded"] == again["chunks"]
    one, two = (MemberVectors.open(tmp_path / name).encoder for name in ("one", "two"))
    assert one != two


def test_vectors_may_replace_those_they_were_made_from(save_random, days, tmp_path):
    encoder, (today, tomorrow) = save_random(), days
    refresh(encoder, today, tmp_path / "vectors")
    refresh(encoder, tomorrow, tmp_path / "vectors", tmp_path / "vectors")
    refresh(encoder, tomorrow, tmp_path / "scratch")
    found, expected = (MemberVectors.open(tmp_path / name) for name in ("vectors", "scratch"))
    np.testing.assert_allclose(found.vectors, expected.vectors, rtol=0, atol=1e-6)
    assert found.closed.keys() == expected.closed.keys()


@pytest.mark.parametrize(
    "name", ["vectors.npy", "vectors.json", "members.arrow", "chunk_keys.npy", "chunk_vectors.npy"]
)
@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[: len(c) // 2], None])
def test_damaged_member_vectors_are_named(save_random, days, tmp_path, name, damage):
    refresh(save_random(), days[0], tmp_path / "vectors")
    path = tmp_path / "vectors" / name
    if damage:
        path.write_bytes(damage(path.read_bytes()))
    else:
        path.unlink()
    with pytest.raises(EncoderError, match=str(tmp_path / "vectors")):
        refresh(save_random(), days[0], tmp_path / "again", tmp_path / "vectors")


def test_only_matrices_of_float32_are_vectors(tmp_path):
    with pytest.raises(EncoderError, match="must be float32"):
        save_vectors(tmp_path / "vectors", np.zeros((2, 3)))
    assert not (tmp_path / "vectors").exists()
