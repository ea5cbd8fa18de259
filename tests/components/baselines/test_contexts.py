"""Which words are an example's context."""

import numpy as np
import pytest

from components.baselines import contexts
from components.baselines.contexts import context_words
from components.baselines.errors import BaselineError
from tests.components.baselines.trails import posting, search, write_sessions

KNOWN = ["JOB_SEARCH", "APPLY", "data", "engineer", "c_acme_inc", "nurse"]
PARTS = [
    {
        "ann": [
            search("Data  Engineer"),
            posting("APPLY", "Acme Inc", "Chief Engineer", session=2),
            search("nurse", session=3),
        ]
    },
    {"bob": [search("nurse"), search("unheard of", session=2)], "cho": [search("data")]},
]


def word_ids(texts):
    found = [[KNOWN.index(word) for word in text.split() if word in KNOWN] for text in texts]
    return np.array(sum(found, []), np.int32), np.array([len(ids) for ids in found], np.int64)


def read(sessions, *examples, limit=100):
    members, first, end = zip(*examples, strict=True)
    words = context_words(
        word_ids,
        sessions,
        member_ids=members,
        first_session=np.array(first),
        context_end=np.array(end),
        limit=limit,
    )
    ids, lengths = words.of(np.arange(len(examples)))
    return [
        " ".join(KNOWN[i] for i in own) for own in np.split(ids, np.cumsum(lengths)[:-1].tolist())
    ]


@pytest.fixture
def sessions(tmp_path):
    return write_sessions(tmp_path / "sessions", *PARTS)


def test_a_context_is_the_known_words_of_its_sessions_in_the_order_of_time(sessions):
    assert read(sessions, ("ann", 0, 3), ("cho", 0, 1), ("ann", 0, 1), ("ann", 1, 2)) == [
        "JOB_SEARCH data engineer APPLY c_acme_inc engineer JOB_SEARCH nurse",
        "JOB_SEARCH data",
        "JOB_SEARCH data engineer",
        "APPLY c_acme_inc engineer",
    ]


def test_a_long_context_keeps_its_most_recent_words(sessions):
    assert read(sessions, ("ann", 0, 2), ("bob", 0, 2), limit=3) == [
        "APPLY c_acme_inc engineer",
        "JOB_SEARCH nurse JOB_SEARCH",
    ]


def test_batches_do_not_change_the_words(sessions, monkeypatch):
    examples = [("bob", 0, 2), ("ann", 0, 2), ("cho", 0, 1), ("bob", 1, 2)]
    whole = read(sessions, *examples)
    monkeypatch.setattr(contexts, "ROWS_AT_ONCE", 1)
    assert read(sessions, *examples) == whole


@pytest.mark.parametrize(
    ("example", "message"),
    [(("eve", 0, 1), "no member 'eve'"), (("ann", 0, 4), "'ann' has fewer than 4 sessions")],
)
def test_an_example_that_is_not_in_the_sessions_is_an_error(sessions, example, message):
    with pytest.raises(BaselineError, match=message):
        read(sessions, example)
