"""The whole offline study: what is written, what is left out, what is refused."""

import json

import pyarrow.parquet as pq
import pytest

from components.audience.errors import AudienceError
from components.audience.measure import CHANCE, EXACT, EXPANDED, RERANKED
from components.audience.training import train_audience
from tests.components.audience.conftest import CONFIG


def method(measured, name):
    return next(row for row in measured["rows"] if row["method"] == name)


def test_expansion_finds_more_of_those_who_applied(run):
    exact, expanded = (method(run.measured, name) for name in (EXACT, EXPANDED["mean"]))
    assert expanded["recall"] > exact["recall"]
    assert expanded["liquidity_batch"] > exact["liquidity_batch"]


def test_the_re_ranker_is_trained_and_what_was_measured_is_kept(run):
    assert run.measured["ranked_by"] == "reranker"
    reranked, chance = (method(run.measured, name) for name in (RERANKED, CHANCE))
    assert reranked["recall"] > chance["recall"]
    assert json.loads((run.model / "measured.json").read_text()) == run.measured


def test_the_same_seed_measures_the_same(run, tmp_path):
    again = train_audience(run.inputs, tmp_path / "audience", CONFIG, seed=1)
    assert again == run.measured


def test_with_too_little_to_learn_from_similarity_ranks(run, tmp_path):
    config = CONFIG.model_copy(update={"minimum_positives": 1_000_000})
    measured = train_audience(run.inputs, tmp_path / "audience", config, seed=1)
    assert measured["ranked_by"].startswith("similarity: only")
    assert RERANKED not in {row["method"] for row in measured["rows"]}
    answer = run.open(model=tmp_path / "audience").expand(posting_of(run))
    assert all(c.score == c.similarity for c in answer.candidates)
    assert all(c.exact or c.similarity >= CONFIG.at_least for c in answer.candidates)


def test_where_nobody_ever_applies_nothing_is_measured_and_similarity_ranks(run, tmp_path):
    config = CONFIG.model_copy(update={"applied": ("BUY",)})
    measured = train_audience(run.inputs, tmp_path / "audience", config, seed=1)
    assert measured["rows"] == []
    assert measured["ranked_by"].startswith("similarity: no application")
    run.open(model=tmp_path / "audience")


@pytest.mark.parametrize("missing", ["feed", "features"])
def test_a_source_without_postings_or_pages_has_no_audience(run, tmp_path, missing):
    (tmp_path / "empty").mkdir()
    inputs = run.inputs._replace(**{missing: tmp_path / "empty"})
    assert train_audience(inputs, tmp_path / "audience", CONFIG, seed=1) == {}
    assert not any((tmp_path / "audience").iterdir())
    with pytest.raises(AudienceError, match="this run has no audience"):
        run.open(model=tmp_path / "audience")


def posting_of(run):
    """A posting that somebody applied to."""
    return pq.read_table(run.model / "applied.parquet")["item_id"][0].as_py()
