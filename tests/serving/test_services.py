"""What each service answers, over the wire, is what its rooms compute in this process."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.activity.config import JOBS
from components.audience.audience import Audience
from components.encoder.config import EmbedConfig
from components.encoder.embed import Embedder
from components.extreme.suggest import Suggester, read_trail
from components.extreme.training_sets import load_slices
from components.ranking.request import SearchRanker
from components.store.store import open_store


def actions_of(trail):
    names = ("action", "query", "company", "title", "ts")
    return [{name: row[name] for name in names if row[name] is not None} for row in trail]


@pytest.fixture(scope="module")
def member(made):
    """A member with a trail, and its rows."""
    members = made.members()
    name = members.member_ids[5].as_py()
    return name, read_trail(made.home / "sessions", name)


def test_a_trail_gets_the_vector_that_the_daily_job_makes(made, server, member):
    members = made.members()
    name, trail = member
    (said,) = server.answer("encoder", {"actions": actions_of(trail.to_pylist())})
    daily = members.vectors[members.member_ids.index(name).as_py()]
    assert said["encoder"] == members.encoder
    assert said["vector"] == pytest.approx(daily, abs=1e-2)


def test_recent_actions_get_the_vector_of_a_trail_of_these_alone(server, member):
    _, trail = member
    actions = actions_of(trail.to_pylist())
    whole, recent, all_of_them = server.answer(
        "encoder",
        {"actions": actions},
        {"actions": actions, "recent": 2},
        {"actions": actions, "recent": 500},
    )
    (alone,) = server.answer("encoder", {"actions": actions[-2:]})
    assert recent["vector"] == pytest.approx(alone["vector"], abs=1e-5)
    assert all_of_them == whole != recent


def test_a_text_gets_a_vector_that_depends_on_it(server):
    nurse, again, driver = server.answer(
        "encoder", {"text": "ward nurse"}, {"text": "Ward  NURSE"}, {"text": "driver"}
    )
    assert nurse == again != driver


def test_a_member_gets_what_the_store_holds(made, server, member):
    name, _ = member
    with open_store(made.store, dataset="finetuned") as store:
        record, labels = store.get(name), store.labels()["text"].to_pylist()
    for row, surface in enumerate(("any", "explore")):
        (said,) = server.answer("suggestions", {"member_id": name, "surface": surface, "k": 3})
        assert said["source"] == "store"
        assert [s["text"] for s in said["suggestions"]] == [
            labels[label] for label in record.labels[row][:3]
        ]
        assert [s["score"] for s in said["suggestions"]] == pytest.approx(record.scores[row][:3])


@pytest.mark.parametrize("surface", ["any", "explore"])
def test_a_visitor_gets_what_the_classifiers_say_now(made, server, member, surface):
    _, trail = member
    model = load_slices(made.home / "slices")[{"any": "D2", "explore": "D1-new"}[surface]]
    suggester = Suggester.open(
        made.home / "encoder", model, made.home / "examples", JOBS, EmbedConfig()
    )
    expected = suggester.suggest(trail, 4, surface)
    asked = {"actions": actions_of(trail.to_pylist()), "surface": surface, "k": 4}
    (said,) = server.answer("suggestions", asked)
    assert said["source"] == "encoder"
    assert [s["text"] for s in said["suggestions"]] == [s.text for s in expected]
    assert [s["score"] for s in said["suggestions"]] == pytest.approx(
        [s.score for s in expected], abs=1e-3
    )


def test_somebody_unknown_gets_no_suggestion(server):
    (said,) = server.answer("suggestions", {"member_id": "nobody at all"})
    assert said == {"suggestions": [], "source": "none"}


def test_the_header_chooses_the_variant(made, server, member):
    name, trail = member
    asked = {"member_id": name, "k": 10}
    answers = {
        variant: server.ask("suggestions", asked, headers={"x-intent-model": variant})
        for variant in ("suggestions-finetuned", "suggestions-fasttext")
    }
    for variant, response in answers.items():
        assert response.headers["x-intent-model"] == variant
        assert response.json() == server.ask(variant, asked).json()
    first, second = (response.json() for response in answers.values())
    assert first != second
    assert server.ask("suggestions", asked).json() == first  # without a header: the first given


def test_a_visitor_of_fasttext_gets_the_vector_of_its_words(server, member):
    _, trail = member
    asked = {"actions": actions_of(trail.to_pylist())}
    (said,) = server.answer("suggestions-fasttext", asked)
    assert said["source"] == "encoder"
    assert len(said["suggestions"]) == 5


def test_a_search_gets_the_scores_of_its_ranker_with_the_stored_vector(made, server, member):
    name, _ = member
    ranker = SearchRanker.open(made.home / "ranker", made.home / "now")
    items = ranker.tables.item_ids.slice(0, 12).to_pylist()
    with open_store(made.store, dataset="finetuned") as store:
        vector = store.get(name).vector
    known, unknown = server.answer(
        "ranker",
        {"member_id": name, "query": "nurse", "items": items, "ts": 1_600_000_000_000_000},
        {"member_id": None, "query": None, "items": items},
    )
    expected = ranker.score("nurse", items, member=name, vector=vector, ts=1_600_000_000_000_000)
    assert known["vector"] is True
    assert known["scores"] == pytest.approx(expected, abs=1e-4)
    order = np.argsort(-np.asarray(known["scores"]), kind="stable")
    assert known["ranked"] == [items[at] for at in order]
    assert unknown["vector"] is False
    assert unknown["scores"] == pytest.approx(ranker.score(None, items), abs=1e-4)


@pytest.fixture(scope="module")
def audience(made):
    return Audience.open(
        made.home / "audience",
        index=made.home / "index",
        entities=made.home / "entities",
        examples=made.home / "examples",
        features=made.home / "now",
        embedder=Embedder.load(made.home / "encoder"),
    )


def test_a_posting_gets_its_audience(made, server, audience):
    jobs = pq.read_table(made.home / "audience" / "postings.parquet")["item_id"].to_pylist()[:5]
    for job in jobs:
        found = audience.expand(job).candidates
        expanded, exact = (
            server.answer(f"audience-{name}", {"job": job}, k=1000)[0]["members"]
            for name in ("expanded", "exact")
        )
        assert [said["member_id"] for said in expanded] == [one.member_id for one in found]
        assert expanded[:3] == [pytest.approx(one._asdict(), abs=1e-6) for one in found[:3]]
        assert exact == [said for said in expanded if said["exact"]]


def test_members_get_those_like_them(made, server):
    members = made.members()
    seeds = members.member_ids[:3].to_pylist()
    (said,) = server.answer("audience", {"members": seeds, "k": 4})
    assert len(said["members"]) == 4
    assert not {one["member_id"] for one in said["members"]} & set(seeds)
    unit = members.vectors / np.linalg.norm(members.vectors, axis=1, keepdims=True)
    cosines = unit @ unit[:3].mean(axis=0) / np.linalg.norm(unit[:3].mean(axis=0))
    cosines[:3] = -1
    assert [one["similarity"] for one in said["members"]] == pytest.approx(
        np.sort(cosines)[::-1][:4], abs=2e-2
    )


def test_a_posting_that_there_is_not_has_nobody_and_a_reason(server):
    (said,) = server.answer("audience", {"job": "no-such-job"})
    assert said["members"] == []
    assert "no posting no-such-job" in said["note"]
    (said,) = server.answer("audience", {"members": ["nobody"]})
    assert said == {"members": [], "note": "the index holds none of these members"}
