"""The broken variant: whole and well-formed, with every text at another label's number."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.encoder.vectors import MemberVectors, save_member_vectors
from components.store.push import Source, push
from components.store.store import open_store
from components.variants.package import open_package, write_package
from serving.fortnight.broken import break_suggestions
from serving.fortnight.errors import FortnightError

TEXTS = [f"search {number}" for number in range(40)]
LABELS = pa.table(
    {
        "label": pa.array(range(40), pa.int32()),
        "kind": ["query"] * 40,
        "text": TEXTS,
        "count": pa.array(range(40), pa.int64()),
    }
)


@pytest.fixture
def variant(tmp_path):
    """A suggestions package and the store it reads."""
    examples, slices = tmp_path / "examples", tmp_path / "slices"
    for directory in (examples, slices):
        directory.mkdir()
    pq.write_table(LABELS, examples / "labels.parquet")
    (slices / "model").write_text("model")
    package = write_package(
        tmp_path / "package",
        {"examples": examples, "slices/any": slices},
        service="suggestions",
        name="good",
        settings={"embed": {}},
        encoder="e1",
        encoder_kind="fasttext",
        dimension=4,
        dataset="words",
    )
    store, members = f"lmdb:{tmp_path / 'store'}", pa.array(["m1", "m2", "m3"])
    vectors = np.random.default_rng(0).random((3, 4), dtype=np.float32)
    source = Source(tmp_path / "vectors", tmp_path / "entities.parquet")
    save_member_vectors(source.vectors, MemberVectors(members, vectors, {}, "e1"))
    lists = {
        "labels": pa.array([[3, 4], [5], []], pa.list_(pa.int32())),
        "scores": pa.array([[0.5, 0.25], [0.5], []], pa.list_(pa.float32())),
    }
    explore = {f"explore_{name}": lists[name] for name in lists}
    pq.write_table(pa.table({"member_id": members, **lists, **explore}), source.entities)
    push(store, "words", source, data_time=7, labels=LABELS)
    return package.path, store


def test_every_text_is_there_and_hardly_any_where_it_belongs(variant, tmp_path):
    package, store = variant
    made = break_suggestions(package, tmp_path / "broken", store=store, seed=1)
    labels = pq.read_table(made.path / "examples" / "labels.parquet")
    assert labels["label"].to_pylist() == list(range(40))
    texts = labels["text"].to_pylist()
    assert sorted(texts) == sorted(TEXTS)
    assert sum(own == was for own, was in zip(texts, TEXTS, strict=True)) < 5


def test_the_package_is_whole_and_reads_a_dataset_of_its_own(variant, tmp_path):
    package, store = variant
    break_suggestions(package, tmp_path / "broken", store=store, seed=1)
    about = open_package(tmp_path / "broken").about
    assert about.model == "suggestions-broken"
    assert (about.dataset, about.encoder, about.dimension) == ("words-broken", "e1", 4)
    assert open_package(package).about.dataset == "words"


def test_its_records_are_the_originals_and_only_their_labels_have_other_texts(variant, tmp_path):
    package, store = variant
    made = break_suggestions(package, tmp_path / "broken", store=store, seed=1)
    with (
        open_store(store, dataset="words") as good,
        open_store(store, dataset="words-broken") as bad,
    ):
        for member in ("m1", "m2", "m3"):
            one, other = good.get(member), bad.get(member)
            assert one is not None
            assert other is not None
            assert one.labels.tolist() == other.labels.tolist()
            assert np.allclose(one.vector, other.vector)
        assert bad.current().data_time == 7
        assert bad.labels()["text"] == pq.read_table(made.path / "examples/labels.parquet")["text"]


def test_only_a_suggestions_variant_is_broken(variant, tmp_path):
    package, store = variant
    other = write_package(
        tmp_path / "encoder-package",
        {"encoder": package / "slices"},
        service="encoder",
        name="any",
        settings={},
    )
    with pytest.raises(FortnightError, match="not a suggestions variant"):
        break_suggestions(other.path, tmp_path / "broken", store=store, seed=1)
