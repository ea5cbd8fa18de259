"""In-session vectors: the most recent actions of a trail, however it is written."""

import numpy as np
import pytest

from components.encoder.in_session import last_actions, last_of_sessions
from components.extreme.suggest import trail_document

SESSIONS = [
    ["JOB_SEARCH data engineer", "VIEW c_firm_1 data engineer junior"],
    ["JOB_SEARCH nurse"],
    ["VIEW c_firm_2 nurse", "APPLY c_firm_2 nurse", "JOB_SEARCH ward nurse"],
]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6, 20])
def test_the_last_actions_are_the_same_as_texts_and_as_subwords(corpus, k):
    _, words = corpus.open()
    kept = last_of_sessions(SESSIONS, k)
    assert sum(kept, []) == sum(SESSIONS, [])[-k:]
    whole = trail_document(words, SESSIONS)
    found = last_actions(whole, words.action_ids, k)
    np.testing.assert_array_equal(found, trail_document(words, kept))


def test_a_document_without_actions_is_kept(corpus):
    _, words = corpus.open()
    nothing = np.zeros(0, np.int32)
    assert len(last_actions(nothing, words.action_ids, 5)) == 0
    text = trail_document(words, [["nurse"]])
    np.testing.assert_array_equal(last_actions(text, words.action_ids, 5), text)


def test_more_texts_than_there_are_is_all_of_them():
    assert last_of_sessions([], 3) == []
    assert last_of_sessions(SESSIONS, 100) == SESSIONS
