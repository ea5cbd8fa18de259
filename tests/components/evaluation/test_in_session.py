"""In-session vectors: what is known at a moment, and what follows it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.activity.config import JOBS
from components.encoder.config import EmbedConfig
from components.evaluation.config import EvaluationConfig
from components.evaluation.context_section import in_session_section
from components.evaluation.context_tables import (
    ANY,
    BOTH,
    DAILY,
    MEASURED,
    NEW,
    RECENT,
    SO_FAR,
)
from components.evaluation.in_session import (
    DAY,
    MOMENTS_PER_MEMBER,
    compare_in_session,
    find_moments,
)
from components.labels.examples import Examples
from components.text.documents import Tokens
from components.text.render import action_text
from components.text.vocabulary import Vocabulary

CONFIG = EvaluationConfig(resamples=50, recent_actions=(1, 3))


def compare(run, target):
    return compare_in_session(
        run.encoder,
        run.sessions,
        run.tokens,
        run.examples,
        run.slices,
        target,
        vertical=JOBS,
        embed=EmbedConfig(),
        config=CONFIG,
        seed=0,
    )


@pytest.fixture(scope="module")
def compared(run, tmp_path_factory):
    return compare(run, tmp_path_factory.mktemp("compared") / "in session")


@pytest.fixture(scope="module")
def moments(run):
    data, corpus = Examples.open(run.examples), Tokens.open(run.tokens)
    words = Vocabulary.load(run.encoder)
    found = find_moments(data, corpus, run.sessions, words, JOBS, "test", seed=0)
    return data, words, found


def trail_of(run, member):
    rows = pq.read_table(run.sessions, filters=[("member_id", "=", member)]).to_pylist()
    return [
        (row, action_text(row["action"], row["query"], row["company"], row["title"]))
        for row in rows
    ]


def test_a_moment_knows_what_came_before_it_and_asks_for_the_next_action(run, moments):
    data, words, found = moments
    assert any(len(daily) for daily in found.daily)
    for row, label, daily, now in zip(
        found.member, found.label, found.daily, found.now, strict=True
    ):
        trail = trail_of(run, data.table["member_id"][row])
        known = words.decode(now).replace("[SEP]", "").split()
        before = int(np.isin(now, words.action_ids).sum())
        assert known == " ".join(text for _, text in trail[:before]).split()
        following, text = trail[before]
        assert following["session"] == trail[before - 1][0]["session"]
        assert following["session"] > data.table["context_end"][row]
        assert text.split(" ", 1)[1] == data.label_texts[label]
        assert now[-1] == words.sep
        first = next(r["ts"] for r, _ in trail if r["session"] == following["session"])
        over = {r["session"] for r, _ in trail} - {
            r["session"] for r, _ in trail if r["ts"] >= first // DAY * DAY
        }
        of_days_before = [t for r, t in trail if r["session"] in over]
        assert words.decode(daily).replace("[SEP]", "").split() == " ".join(of_days_before).split()


def test_the_past_of_a_moment_holds_its_labels_the_most_recent_highest(run, moments):
    data, _, found = moments
    for row, now, past in zip(found.member, found.now, found.past, strict=True):
        words = Vocabulary.load(run.encoder)
        trail = trail_of(run, data.table["member_id"][row])
        before = int(np.isin(now, words.action_ids).sum())
        named = [
            text.split(" ", 1)[1]
            for action, text in trail[:before]
            if action["action"] in JOBS.label_actions
        ]
        known = [text for text in named if text in data.label_texts]
        by_recency = [data.label_texts[label] for label in past.indices[np.argsort(-past.data)]]
        assert by_recency == list(dict.fromkeys(reversed(known)))


def test_a_member_has_few_moments(moments):
    _, _, found = moments
    assert np.bincount(found.member).max() <= MOMENTS_PER_MEMBER


def test_every_vector_is_measured_for_any_and_for_new_entities(compared):
    vectors = {DAILY, SO_FAR, "last 1 actions", "last 3 actions", BOTH}
    found = {(row["method"], row["next"]) for row in compared["in_session"]}
    assert {method for method, task in found if task == ANY} == {RECENT, *vectors}
    assert {method for method, task in found if task == NEW} in (set(), vectors)
    for row in compared["in_session"]:
        assert 0 <= row["hit@1"] <= row["hit@3"] <= row["hit@5"] <= 1
        assert row["hit@1"] <= row["mrr"]
        assert row["mrr_low"] <= row["mrr"] <= row["mrr_high"]


def test_a_difference_is_that_of_the_figures(compared):
    of = {(row["method"], row["next"]): row for row in compared["in_session"]}
    for row in compared["in_session_differences"]:
        ours, daily = (of[method, row["next"]] for method in (row["method"], DAILY))
        expected = ours[row["figure"]] - daily[row["figure"]]
        assert row["difference"] == pytest.approx(expected, abs=1e-9)


def test_the_same_seed_measures_the_same(run, compared, tmp_path):
    assert compare(run, tmp_path / "again") == compared
    assert json.loads((tmp_path / "again" / MEASURED).read_text()) == compared


def test_without_moments_there_is_nothing_to_compare(run, tmp_path):
    vertical = JOBS.model_copy(update={"label_actions": ("SAVE",)})
    result = compare_in_session(
        run.encoder,
        run.sessions,
        run.tokens,
        run.examples,
        run.slices,
        tmp_path / "nothing",
        vertical=vertical,
        embed=EmbedConfig(),
        config=CONFIG,
        seed=0,
    )
    assert result == {}
    assert not any((tmp_path / "nothing").iterdir())


def test_the_report_shows_what_was_compared(compared):
    section = in_session_section(compared)
    assert len(section.tables[0].rows) == len(compared["in_session"])
    assert set(section.uses) == set(compared)
    for table in section.tables:
        assert {len(row) for row in table.rows} == {len(table.head)}
