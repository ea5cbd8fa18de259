"""Queries with their clicks, and the windows and batches that are made of them."""

import numpy as np
import pytest

from components.activity.config import JOBS, NEWS
from components.baselines.sequence_config import SequenceConfig
from components.baselines.turn_batches import (
    Windows,
    asking_batch,
    last_windows,
    training_batch,
    training_windows,
)
from components.baselines.turns import END, PAD, UNKNOWN, learn_lexicon, read_turns
from tests.components.baselines.trails import posting, search, write_sessions

CONFIG = SequenceConfig(turns=3, clicks=2, minimum_count=1, candidates=2, words=4)


@pytest.fixture
def turns(tmp_path):
    ann = [
        posting("VIEW", "Acme", "Before Any Query"),
        search("Data  Engineer"),
        posting("VIEW", "Acme", "Engineer I"),
        posting("VIEW", "Acme", "Engineer II"),
        posting("VIEW", "Acme", "Third Click"),
        posting("VIEW", "Acme", "From An Alert", session=2),
        search("nurse", session=2),
        search("data engineer", session=2),
        search("data analyst", session=3),
    ]
    bob = [posting("VIEW", "Acme", "Nurse"), posting("VIEW", "Acme", "Nurse", session=2)]
    cho = [search("nurse"), posting("APPLY", "Acme", "Nurse"), search(" ")]
    return read_turns(
        write_sessions(tmp_path / "sessions", {"ann": ann, "bob": bob}, {"cho": cho}),
        JOBS,
        clicks=CONFIG.clicks,
    )


def texts(turns, member):
    start, end = turns.offsets[turns.rows[member] :][:2]
    return [turns.queries[query] for query in turns.query[start:end]]


def clicks(turns, member):
    start, end = turns.offsets[turns.rows[member] :][:2]
    return [[turns.titles[t] for t in clicked if t] for clicked in turns.clicked[start:end]]


def test_turns_are_rendered_queries_in_time_order_of_members_who_searched(turns):
    assert list(turns.rows) == ["ann", "cho"]
    assert texts(turns, "ann") == ["data engineer", "nurse", "data engineer", "data analyst"]
    assert texts(turns, "cho") == ["nurse"]
    assert turns.session.tolist() == [0, 1, 1, 2, 0]


def test_the_first_postings_after_a_query_in_its_session_are_its_clicks(turns):
    assert clicks(turns, "ann") == [["engineer i", "engineer ii"], [], [], []]
    assert clicks(turns, "cho") == [["nurse"]]


def test_where_nobody_searches_there_are_no_turns(tmp_path):
    sessions = write_sessions(tmp_path / "s", {"ann": [posting("VIEW", None, "News")]})
    assert read_turns(sessions, NEWS, clicks=1).rows == {}


def test_words_beyond_the_vocabulary_of_queries_keep_an_id_to_be_copied_by(turns):
    members = np.array([turns.rows["ann"]])
    lexicon = learn_lexicon(turns, members, CONFIG.model_copy(update={"vocabulary": 2}))
    assert lexicon.words[4 : lexicon.targets] == ["data", "engineer"]
    assert lexicon.known == lexicon.targets + 1, "ties among titles' words go by the alphabet"
    nurse = lexicon.queries[turns.queries.index("nurse")][0]
    assert nurse >= lexicon.known
    assert lexicon.words[nurse] == "nurse"
    assert lexicon.text([nurse, 4, END, 4]) == "nurse data"
    assert UNKNOWN in lexicon.titles[turns.titles.index("nurse")]


def test_windows_predict_every_query_but_a_members_first(turns):
    windows = training_windows(turns, np.arange(2), 3)
    assert list(zip(*windows, strict=True)) == [(0, 3), (2, 4)]


def test_a_context_is_asked_with_its_most_recent_queries_if_it_has_one(turns):
    asked, windows = last_windows(turns, ["bob", "ann", "ann", "new"], [0] * 4, [2, 3, 2, 9], 2)
    assert asked.tolist() == [1, 2]
    assert list(zip(*windows, strict=True)) == [(2, 4), (1, 3)]


def test_a_batch_holds_each_text_once_and_predicts_the_query_that_follows(turns):
    lexicon = learn_lexicon(turns, np.arange(2), CONFIG)
    windows = Windows(np.array([0, 2]), np.array([3, 4]))
    batch = training_batch(turns, lexicon, windows, CONFIG, np.random.default_rng(1))
    assert len(batch.queries) == 3
    assert batch.present.tolist() == [[True] * 3, [True, True, False]]
    assert batch.asked.tolist() == [0, 1, 3]
    following = [lexicon.text(ids) for ids in batch.next.tolist()]
    assert following == ["nurse", "data engineer", "data analyst"]
    assert batch.next[0].tolist()[1:] == [END, PAD]


def test_a_clicked_posting_is_ranked_against_titles_that_were_not_clicked(turns):
    lexicon = learn_lexicon(turns, np.arange(2), CONFIG)
    windows = Windows(np.array([0, 4]), np.array([3, 5]))
    batch = training_batch(turns, lexicon, windows, CONFIG, np.random.default_rng(1))
    clicked, candidates = batch.clicked[0, 0], batch.candidates[0, 0]
    assert candidates[0] == clicked[0]
    assert not set(candidates[1:].tolist()) & (set(clicked.tolist()) - {0})
    assert batch.candidates[0, 1].tolist() == [0, 0, 0], "nothing was clicked after this query"


def test_an_unknown_word_can_be_copied_from_an_earlier_query_only(turns):
    only_data = CONFIG.model_copy(update={"vocabulary": 1})
    lexicon = learn_lexicon(turns, np.arange(2), only_data)
    windows = Windows(np.array([0]), np.array([3]))
    batch = training_batch(turns, lexicon, windows, only_data, np.random.default_rng(1))
    spelling = [*range(batch.targets), *batch.copied.tolist()]
    following = [lexicon.text([spelling[i] for i in ids]) for ids in batch.next.tolist()]
    assert following == ["[UNK]", "data engineer"]
    assert (batch.queries < lexicon.known).all()


def test_the_turn_asked_is_the_last_of_each_window(turns):
    lexicon = learn_lexicon(turns, np.arange(2), CONFIG)
    batch = asking_batch(turns, lexicon, Windows(np.array([0, 4]), np.array([3, 5])), CONFIG)
    assert batch.asked.tolist() == [2, 3]
    assert batch.candidates.shape[-1] == 0
    assert batch.next.shape[-1] == 0
