"""fastText: which words are learnt from whom, and how a context becomes one vector."""

import json

import numpy as np
import pytest

from components.activity.config import JOBS, SHOPPING, SplitConfig
from components.activity.split import member_split
from components.baselines import contexts as reading
from components.baselines.config import FastTextConfig
from components.baselines.errors import BaselineError
from components.baselines.fasttext import (
    WordVectors,
    context_vectors,
    member_vectors,
    train_word_vectors,
)
from components.encoder.vectors import MemberVectors, save_member_vectors
from tests.components.baselines.trails import posting, search, write_sessions

SMALL = FastTextConfig(dimension=8, epochs=3, minimum_count=1, subsampling=1, threads=1)
NOBODY_HELD_OUT = SplitConfig(validation=0, test=0)


@pytest.fixture
def sessions(tmp_path):
    ann = [search("Data  Engineer"), posting("APPLY", "Acme Inc", "Engineer", session=2)]
    bob = [posting("VIEW", None, "Nurse"), search("nurse", session=2)]
    return write_sessions(tmp_path / "sessions", {"ann": ann}, {"bob": bob})


def train(sessions, target, config=SMALL, *, vertical=JOBS, sequence="action", **options):
    options = {"split": NOBODY_HELD_OUT, "seed": 1, **options}
    train_word_vectors(sessions, target, config, vertical, sequence=sequence, **options)
    return WordVectors.load(target)


def test_action_sequences_hold_action_types_words_and_company_phrases(sessions, tmp_path):
    words = train(sessions, tmp_path / "words").words
    expected = {"JOB_SEARCH", "APPLY", "VIEW", "data", "engineer", "nurse", "c_acme_inc"}
    assert set(words) == expected


def test_entity_sequences_hold_queries_only(sessions, tmp_path):
    words = train(sessions, tmp_path / "words", sequence="entity").words
    assert set(words) == {"data", "engineer", "nurse"}


def test_a_vertical_without_queries_learns_entities_from_the_texts_of_its_labels(tmp_path):
    basket = [posting("PURCHASE", "Farm", "Milk"), posting("CAMPAIGN", None, "Mailing")]
    sessions = write_sessions(tmp_path / "sessions", {"ann": basket})
    words = train(sessions, tmp_path / "words", vertical=SHOPPING, sequence="entity").words
    assert set(words) == {"milk"}


def test_held_out_members_are_not_read(tmp_path):
    members = [f"member {number}" for number in range(40)]
    trails = {member: [search(f"own{i}")] for i, member in enumerate(members)}
    sessions = write_sessions(tmp_path / "sessions", trails)
    split = SplitConfig(validation=0.3, test=0.3)
    sides = member_split(members, seed=5, validation=split.validation, test=split.test)
    words = train(sessions, tmp_path / "words", split=split, seed=5, sequence="entity").words
    assert set(words) == {f"own{i}" for i in np.flatnonzero(sides == 0)}
    assert 0 < len(words) < len(members)


def test_rare_words_have_no_vector(sessions, tmp_path):
    config = SMALL.model_copy(update={"minimum_count": 2})
    assert set(train(sessions, tmp_path / "words", config).words) == {
        "JOB_SEARCH",
        "engineer",
        "nurse",
    }


def test_one_thread_gives_the_same_vectors_again(sessions, tmp_path):
    one, two = (train(sessions, tmp_path / name) for name in ("one", "two"))
    np.testing.assert_array_equal(one.unit, two.unit)
    assert not np.array_equal(train(sessions, tmp_path / "three", seed=2).unit, one.unit)


@pytest.mark.parametrize("loss", ["softmax", "hs", "ns"])
def test_words_that_share_contexts_come_close(tmp_path, loss):
    rng = np.random.default_rng(0)
    topics = [["python", "spark", "airflow"], ["ward", "triage", "icu"]]
    trails = {
        f"member {i:03d}": [search(" ".join(rng.permutation(topics[i % 2]))) for _ in range(4)]
        for i in range(120)
    }
    sessions = write_sessions(tmp_path / "sessions", trails)
    config = SMALL.model_copy(update={"loss": loss, "epochs": 20})
    words = train(sessions, tmp_path / "words", config, sequence="entity")
    cosine = words.unit @ words.unit.T
    python, spark, ward = (words.words[word] for word in ("python", "spark", "ward"))
    assert cosine[python, spark] > cosine[python, ward] + 0.3


def test_the_vectors_directory_follows_the_convention(sessions, tmp_path):
    train(sessions, tmp_path / "words")
    vectors = np.load(tmp_path / "words" / "vectors.npy")
    about = json.loads((tmp_path / "words" / "vectors.json").read_text())
    assert vectors.dtype == np.float32
    assert about["encoder"] == "fastText"
    assert [about["words"], about["dimension"]] == list(vectors.shape)


def test_a_member_cannot_write_what_fasttext_takes_for_a_label(tmp_path):
    sessions = write_sessions(tmp_path / "sessions", {"ann": [search("__label__x nurse")]})
    words = train(sessions, tmp_path / "words", sequence="entity").words
    assert set(words) == {"__label__x", "nurse"}


def test_a_corpus_without_words_is_an_error_that_names_it(sessions, tmp_path):
    config = SMALL.model_copy(update={"minimum_count": 100})
    with pytest.raises(BaselineError, match=r"sessions \(action sequences\)"):
        train(sessions, tmp_path / "words", config)
    assert not (tmp_path / "words").exists()


def known(**vectors):
    return WordVectors(list(vectors), np.array(list(vectors.values()), np.float32))


def test_a_phrase_is_the_mean_of_its_known_words_at_unit_length():
    words = known(data=[3, 0], engineer=[0, 0.5])
    np.testing.assert_allclose(
        words.phrases(["data engineer", "data data engineer", "chief data", "unheard of", ""]),
        [[0.5, 0.5], [2 / 3, 1 / 3], [1, 0], [0, 0], [0, 0]],
        rtol=1e-6,
    )


def test_a_members_vector_is_that_of_a_context_of_the_whole_trail(sessions, tmp_path):
    words = train(sessions, tmp_path / "words")
    everyone = member_vectors(words, sessions)
    assert everyone.member_ids.to_pylist() == ["ann", "bob"]
    expected = contexts(sessions, words, ("ann", 0, 2), ("bob", 0, 2))
    np.testing.assert_allclose(everyone.vectors, expected, rtol=1e-6)
    save_member_vectors(tmp_path / "everyone", everyone)
    assert MemberVectors.open(tmp_path / "everyone").encoder == words.version


def test_words_trained_otherwise_have_another_version(sessions, tmp_path):
    one = train(sessions, tmp_path / "one").version
    assert train(sessions, tmp_path / "again").version == one
    assert train(sessions, tmp_path / "other", seed=2).version != one


def contexts(sessions, words, *examples):
    members, first, end = zip(*examples, strict=True)
    return context_vectors(
        words,
        sessions,
        member_ids=members,
        first_session=np.array(first),
        context_end=np.array(end),
    )


@pytest.fixture
def words():
    return known(data=[1, 0, 0], engineer=[0, 2, 0], c_acme_inc=[0, 0, 1], VIEW=[0, 0, 4])


def test_a_context_is_the_mean_of_its_sessions_each_the_mean_of_its_words(sessions, words):
    vectors = contexts(sessions, words, ("ann", 0, 1), ("bob", 0, 1), ("ann", 0, 2), ("ann", 1, 2))
    expected = [[0.5, 0.5, 0], [0, 0, 1], [0.25, 0.5, 0.25], [0, 0.5, 0.5]]
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)


def test_a_context_without_a_known_word_is_zero(sessions, words):
    assert contexts(sessions, words, ("bob", 1, 2)).tolist() == [[0, 0, 0]]


def test_batches_do_not_change_the_vectors(sessions, words, monkeypatch):
    examples = [("bob", 0, 2), ("ann", 0, 2), ("bob", 1, 2)]
    whole = contexts(sessions, words, *examples)
    monkeypatch.setattr(reading, "ROWS_AT_ONCE", 1)
    np.testing.assert_array_equal(contexts(sessions, words, *examples), whole)


@pytest.mark.parametrize(
    ("example", "message"),
    [(("eve", 0, 1), "no member 'eve'"), (("ann", 0, 3), "'ann' has fewer than 3 sessions")],
)
def test_an_example_that_is_not_in_the_sessions_is_an_error(sessions, words, example, message):
    with pytest.raises(BaselineError, match=message):
        contexts(sessions, words, example)


def test_a_missing_file_is_an_error_that_names_the_directory(tmp_path):
    with pytest.raises(BaselineError, match=str(tmp_path)):
        WordVectors.load(tmp_path)
