"""The vocabulary: what becomes one token, and what never is unknown."""

import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from components.activity.config import JOBS, SplitConfig, Vertical
from components.activity.split import member_split
from components.text.config import TextConfig
from components.text.errors import TextError
from components.text.render import action_text, entity_text, normalise
from components.text.vocabulary import Vocabulary, _scaled, count_words, train_vocabulary

EVERYBODY = SplitConfig(validation=0, test=0)
CONFIG = TextConfig(vocabulary_size=600)
ROWS = [
    ("ann", 1, "JOB_SEARCH", "Data Engineer"),
    ("ann", 1, "VIEW", "Acme Inc", "Data Engineer"),
    ("ann", 2, "APPLY", "Acme Inc", "Data Engineer"),
    ("bob", 1, "JOB_SEARCH", "Nurse"),
    ("bob", 1, "VIEW", "Acme Inc", "night nurse"),
]
ANY_TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=60)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory, write_parts_in):
    home = tmp_path_factory.mktemp("vocabulary")
    titles = ["data engineer", "nurse", "night nurse"] * 3
    rows = [(f"m{n}", 1, "VIEW", "Acme Inc", title) for n, title in enumerate(titles)]
    train(write_parts_in(home / "sessions", rows), home / "vocabulary")
    return home / "vocabulary"


def train(sessions, target, config=CONFIG, split=EVERYBODY, seed=0):
    train_vocabulary(sessions, target, config, JOBS, split=split, seed=seed)


def test_special_tokens_come_first_then_one_token_per_action_type(vocabulary):
    words = Vocabulary.load(vocabulary)
    assert [words.pad, words.unk, words.cls, words.sep, words.mask] == [0, 1, 2, 3, 4]
    assert words.decode([0, 1, 2, 3, 4]) == "[PAD] [UNK] [CLS] [SEP] [MASK]"
    assert words.action_ids.tolist() == list(range(5, 5 + len(JOBS.actions)))
    assert words.decode(words.action_ids) == " ".join(JOBS.actions)
    assert words.action_ids.dtype == np.int32


def test_a_company_is_one_word_whatever_its_subwords(vocabulary):
    words = Vocabulary.load(vocabulary)
    (ids,) = words.encode_batch([action_text("VIEW", company="New Co Ltd", title="Nurse")])
    assert ids[0] == words.action_id("VIEW")
    assert words.word_start[ids].sum() == 3


def test_frequent_words_are_single_tokens(vocabulary):
    words = Vocabulary.load(vocabulary)
    assert [len(ids) for ids in words.encode_batch(["nurse", "c_acme_inc"])] == [1, 1]


@given(query=ANY_TEXT, company=ANY_TEXT, title=ANY_TEXT)
def test_text_in_any_script_survives_and_nothing_is_unknown(vocabulary, query, company, title):
    words = Vocabulary.load(vocabulary)
    text = action_text("VIEW", query, company, title)
    (ids,) = words.encode_batch([text])
    assert words.decode(ids) == text
    assert not np.isin(ids, [words.pad, words.unk, words.cls, words.sep, words.mask]).any()
    assert words.word_start[ids].sum() == len(text.split())


@given(ANY_TEXT, ANY_TEXT)
def test_the_ids_of_two_texts_are_their_ids_joined(vocabulary, left, right):
    words = Vocabulary.load(vocabulary)
    left, right = normalise(left), normalise(right)
    both, one, other = words.encode_batch([f"{left} {right}", left, right])
    assert both.tolist() == [*one, *other]


def test_a_character_cut_in_two_decodes_to_a_replacement_mark(vocabulary):
    words = Vocabulary.load(vocabulary)
    (ids,) = words.encode_batch(["数"])
    assert words.decode(ids[:-1]).endswith("\ufffd")


def test_transformers_reads_it(vocabulary):
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(vocabulary / "tokenizer.json"))
    by_directory = PreTrainedTokenizerFast.from_pretrained(vocabulary)
    ours = Vocabulary.load(vocabulary)
    text = action_text("APPLY", company="Acme Inc", title="Infirmière de nuit")
    expected = ours.encode_batch([text])[0].tolist()
    assert theirs(text)["input_ids"] == expected
    assert by_directory(text)["input_ids"] == expected
    assert by_directory.mask_token_id == ours.mask
    assert by_directory.decode(expected) == text


def test_only_training_members_are_read(write_parts):
    half = SplitConfig(validation=0.25, test=0.25)
    rows = [(f"m{n:02d}", 1, "JOB_SEARCH", f"word{n:02d}") for n in range(40)]
    members = [row[0] for row in rows]
    sides = member_split(members, seed=3, validation=half.validation, test=half.test)
    counted = count_words(write_parts(rows[:20], rows[20:]), CONFIG, split=half, seed=3)
    assert counted == {row[3]: 1 for row, side in zip(rows, sides, strict=True) if side == 0}
    assert 0 < len(counted) < 40


def test_companies_and_titles_count_by_their_rendered_words(write_parts):
    counted = count_words(write_parts(ROWS), CONFIG, split=EVERYBODY, seed=0)
    assert counted == {"data": 3, "engineer": 3, "c_acme_inc": 3, "nurse": 2, "night": 1}


def test_a_vocabulary_of_queries_holds_queries_only(write_parts):
    config = TextConfig(sequence="query")
    counted = count_words(write_parts(ROWS), config, split=EVERYBODY, seed=0)
    assert counted == {"data": 1, "engineer": 1, "nurse": 1}


def test_the_order_of_rows_and_the_process_do_not_matter(write_parts, tmp_path):
    train(write_parts(ROWS, name="one"), tmp_path / "v1")
    program = (
        "import sys; from pathlib import Path; from components.activity.config import *;"
        "from components.text.config import *; from components.text.vocabulary import *;"
        "train_vocabulary(Path(sys.argv[1]), Path(sys.argv[2]), TextConfig(vocabulary_size=600),"
        " JOBS, split=SplitConfig(validation=0, test=0), seed=0)"
    )
    shuffled = write_parts(ROWS[3:], ROWS[:3], name="other")
    subprocess.run([sys.executable, "-c", program, shuffled, tmp_path / "v2"], check=True)
    first, second = Vocabulary.load(tmp_path / "v1"), Vocabulary.load(tmp_path / "v2")
    assert first.hash == second.hash
    tokenizers = [(tmp_path / name / "tokenizer.json").read_bytes() for name in ("v1", "v2")]
    assert tokenizers[0] == tokenizers[1]


def test_a_corpus_beyond_the_limit_is_scaled_in_proportion():
    counts = Counter({f"word{n}": n for n in range(1, 1000)})
    scaled = _scaled(counts, 50_000, seed=1)
    assert abs(sum(scaled.values()) - 50_000) < 500
    assert abs(scaled["word999"] - 100) <= 1
    assert sum(scaled[f"word{n}"] for n in range(1, 10)) > 0
    assert scaled == _scaled(counts, 50_000, seed=1)


def test_no_room_for_the_bytes_is_refused(write_parts, tmp_path):
    crowded = Vertical(actions={f"A{n}": "query" for n in range(300)}, label_actions=("A1",))
    with pytest.raises(TextError, match="vocabulary_size 512"):
        train_vocabulary(
            write_parts(ROWS),
            tmp_path / "v",
            TextConfig(vocabulary_size=512),
            crowded,
            split=EVERYBODY,
            seed=0,
        )


def test_members_without_texts_are_refused_and_nothing_is_written(write_parts, tmp_path):
    sessions = write_parts([("ann", 1, "JOB_SEARCH", None)])
    with pytest.raises(TextError, match="no training member has a text"):
        train(sessions, tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_a_damaged_file_is_named(vocabulary, tmp_path):
    shutil.copytree(vocabulary, tmp_path / "v")
    path = tmp_path / "v" / "tokenizer.json"
    path.write_text(path.read_text().replace("nurse", "purse"))
    with pytest.raises(TextError, match=r"tokenizer\.json: damaged"):
        Vocabulary.load(tmp_path / "v")
    with pytest.raises(TextError, match="no readable vocabulary"):
        Vocabulary.load(tmp_path / "absent")


def test_a_damaged_part_is_named(write_parts, tmp_path):
    sessions = write_parts(ROWS)
    (sessions / "part-00000.parquet").write_bytes(b"not parquet")
    with pytest.raises(TextError, match=r"part-00000\.parquet: cannot be read"):
        train(sessions, tmp_path / "v")


def test_an_unknown_action_is_named(vocabulary):
    with pytest.raises(TextError, match="'DANCE' is not in the vocabulary"):
        Vocabulary.load(vocabulary).action_id("DANCE")


def test_an_empty_text_has_no_ids(vocabulary):
    assert entity_text() == ""
    assert Vocabulary.load(vocabulary).encode_batch([""])[0].tolist() == []
