"""Words, their ids, and what queries say beside what is looked for."""

import numpy as np
import pytest

from components.features.errors import FeaturesError
from components.features.phrases import LEVELS, PhraseReader, level_of
from components.features.terms import Idf, TermSets, checksum, trigrams_of
from components.features.words import WordIds, words_of


def test_words_are_in_lower_case_without_punctuation_around_them():
    assert words_of("Software Engineer, (C++) R&D!") == ["software", "engineer", "c++", "r&d"]
    assert words_of(None) == words_of(" , ") == []


def test_frequent_words_have_ids_and_others_share_one(tmp_path):
    words = WordIds.learn(["nurse one", "nurse two", "welder two"], minimum=2, most=10)
    assert words.words == ["", "<unknown>", "nurse", "two"]
    assert words.encode(["Two nurse clerk", None], 4).tolist() == [[3, 2, 1, 0], [0, 0, 0, 0]]
    assert words.encode(["two nurse clerk"], 1).tolist() == [[3]]
    words.save(tmp_path / "words.txt")
    assert WordIds.open(tmp_path / "words.txt").words == words.words


@pytest.mark.parametrize("content", ["", "nurse\n", "\n<unknown>\nnurse\nnurse\n"])
def test_a_file_that_is_not_a_list_of_words_is_refused(tmp_path, content):
    (tmp_path / "words.txt").write_text(content)
    with pytest.raises(FeaturesError, match=r"words\.txt"):
        WordIds.open(tmp_path / "words.txt")


@pytest.mark.parametrize(
    ("query", "core", "place", "kind_of_work"),
    [
        ("nurse", "nurse", 0, False),
        ("Nurse in New York part time", "nurse in", 1, True),
        ("nurse jobs near me", "nurse", 0, False),
        ("remote", "remote", 2, False),
        ("york nurse", "york nurse", 0, False),
        ("", "", 0, False),
    ],
)
def test_a_query_has_a_core_and_what_it_says_beside(query, core, place, kind_of_work):
    said = PhraseReader(["new york", "remote"]).read(query)
    assert (said.core, said.place, said.kind_of_work) == (core, place, kind_of_work)


@pytest.mark.parametrize(
    ("text", "level"),
    [("Sr Nurse", "senior"), ("Nurse", ""), ("Welder II", "middle"), ("Head Nurse", "head")],
)
def test_titles_and_queries_say_levels(text, level):
    assert LEVELS[level_of(text)] == level


def test_rare_words_weigh_more_and_unseen_ones_most():
    idf = Idf.learn(["senior nurse", "senior welder", "senior clerk"])
    senior, nurse, unseen = idf.of(np.array([checksum(w) for w in ("senior", "nurse", "x")]))
    assert 0 < senior < nurse < unseen


def test_sets_hold_each_term_once_in_order():
    sets = TermSets.of(["b a b", "", "c"], words_of)
    assert sets.offsets.tolist() == [0, 2, 2, 3]
    assert set(sets.terms[:2].tolist()) == {checksum("a"), checksum("b")}
    assert sets.terms[0] < sets.terms[1]


def test_ends_of_words_are_marked_in_their_letters():
    assert trigrams_of("rn it") == ["^rn", "rn$", "^it", "it$"]
