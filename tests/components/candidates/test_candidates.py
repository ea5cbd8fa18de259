"""Selecting: for members, for visitors, for somebody unknown, and from what is damaged."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest

from components.candidates.candidates import Candidates
from components.candidates.errors import CandidatesError

UNKNOWN = "nothing is known of somebody unknown to select by: the postings most applied to"


@pytest.fixture(scope="module")
def candidates(run):
    return run.open()


@pytest.fixture(scope="module")
def actions(run):
    """Everybody's actions."""
    return pq.read_table(run.inputs.feed / "actions").to_pandas()


@pytest.fixture(scope="module")
def member(actions):
    """Whoever applied most."""
    return actions[actions.action == "APPLY"].member_id.value_counts().index[0]


def items(selection):
    return [candidate.item_id for candidate in selection.candidates]


def test_postings_come_best_first_with_probabilities_and_reasons(candidates, member):
    found = candidates.select(member, k=20)
    scores = [candidate.score for candidate in found.candidates]
    assert len(set(items(found))) == 20
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert all(candidate.why for candidate in found.candidates)
    assert found.note == ""


def test_clauses_name_ids_and_words(candidates, member):
    clauses = candidates.select(member).clauses
    weights = [clause.weight for clause in clauses]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] > 0
    assert len({clause.text for clause in clauses}) == len(clauses)
    both = [clause for clause in clauses if " AND " in clause.text]
    assert all(clause.text.startswith("titleId:") and " + " in clause.words for clause in both)


def test_nobody_is_recommended_what_he_applied_to(candidates, actions, member):
    own = actions[(actions.member_id == member) & (actions.action == "APPLY")]
    assert not set(own.item_id) & set(items(candidates.select(member, k=1000)))


def test_fewer_are_the_first_of_more(candidates, member):
    assert items(candidates.select(member, k=5)) == items(candidates.select(member, k=50))[:5]


@pytest.mark.parametrize("who", [None, "nobody"])
def test_somebody_unknown_gets_popular_postings_and_is_told(candidates, who):
    found = candidates.select(who, k=3)
    assert len(found.candidates) == 3
    assert found.clauses == []
    assert found.note == UNKNOWN


def test_entities_of_the_store_take_the_place_of_those_known(candidates, actions):
    title = "zebra"
    known = candidates.select(None, entities=[("query", title, 1.0)], k=3)
    assert known.note == UNKNOWN
    query = actions["query"].dropna().value_counts().index[0]
    found = candidates.select(None, entities=[("query", query, 1.0)], k=3)
    assert {clause.source for clause in found.clauses} <= {"entities"}


def test_an_empty_list_of_entities_is_not_the_package_s_own(candidates, member):
    sources = [clause.source for clause in candidates.select(member, entities=[]).clauses]
    assert not any("entities" in source for source in sources)


def test_a_visitor_s_own_actions_make_clauses(run, actions):
    applied = actions[actions.action == "APPLY"].iloc[0]
    given = [{"action": "APPLY", "title": applied.title, "company": applied.company}]
    found = run.open("baseline").select(None, actions=given, k=10)
    assert {clause.source for clause in found.clauses} == {"applied"}


@pytest.mark.parametrize(
    "given", [[], [{"action": "FLY"}], [{"action": "APPLY", "title": "zzz"}], [{}]]
)
def test_actions_that_say_nothing_leave_popular_postings(candidates, given):
    assert candidates.select(None, actions=given, entities=[], k=2).note == UNKNOWN


def test_threads_do_not_mix_their_scores(candidates, actions):
    members = actions.member_id.unique()[:40].tolist()
    alone = [candidates.select(member, k=20) for member in members]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda member: candidates.select(member, k=20), members))
    assert together == alone


def test_a_posting_that_there_is_not_is_named(candidates):
    with pytest.raises(CandidatesError, match="no posting 'j999'"):
        candidates.posting("j999")


def test_no_postings_cannot_be_asked_for(candidates):
    with pytest.raises(CandidatesError, match="k must be at least 1"):
        candidates.select(None, k=0)


@pytest.mark.parametrize(
    "file", ["weights.json", "about.json", "lists.values.npy", "clauses.first.npy"]
)
def test_a_damaged_file_is_named(run, tmp_path, file):
    for path in (run.model / "finetuned").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).write_text("nonsense")
    with pytest.raises(CandidatesError, match=file):
        Candidates.open(tmp_path)
