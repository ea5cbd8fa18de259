"""Candidates as they are served: by whose clauses, made of which entities."""

import asyncio
import shutil

import pyarrow.parquet as pq
import pytest

from components.candidates.candidates import Candidates
from components.encoder.vectors import MemberVectors, save_member_vectors
from components.labels.examples import read_labels
from components.store.push import Source, push
from components.store.store import open_store
from components.variants.package import open_package, write_package
from serving.models.base import Place
from serving.models.candidates import CandidatesModel
from serving.models.suggestions import SuggestionsModel
from serving.registry import Registry
from tests.serving.run import NOW, SETTINGS

VISIT = [
    {"action": "VIEW", "company": "Acme", "title": "software engineer"},
    {"action": "JOB_SEARCH", "query": "software engineer"},
]


def opened(made, name):
    return Candidates.open(made.package(f"candidates-{name}") / "candidates")


def entities_of(made, member, dataset="finetuned"):
    """What the store holds of a member, as `Candidates.select` takes it."""
    with open_store(made.store, dataset=dataset) as store:
        record, labels = store.get(member), store.labels()
    kinds, words = labels["kind"].to_pylist(), labels["text"].to_pylist()
    return [
        (kinds[label], words[label], score)
        for label, score in zip(record.labels[0].tolist(), record.scores[0].tolist(), strict=True)
        if label >= 0
    ]


def as_said(selection, source):
    return {
        "candidates": [
            own._asdict() | {"score": pytest.approx(own.score, abs=1e-6)}
            for own in selection.candidates
        ],
        "clauses": [
            own._asdict() | {"weight": pytest.approx(own.weight, abs=1e-6)}
            for own in selection.clauses
        ],
        "source": source,
        "note": selection.note,
    }


@pytest.fixture(scope="module")
def members(made):
    return made.members().member_ids[:20].to_pylist()


@pytest.fixture
def asked(made):
    """Ask a package in this process."""

    def ask(name, *instances, store=made.store, package=None):
        model = CandidatesModel(
            open_package(package or made.package(f"candidates-{name}")), Place(store=store)
        )
        assert model.problem() is None
        return asyncio.run(model.answer(model.read({"instances": list(instances)}), {}))

    return ask


@pytest.mark.parametrize("name", ["finetuned", "fasttext"])
def test_a_member_gets_what_his_entities_of_the_store_select(made, server, members, name):
    for member in members[:5]:
        expected = opened(made, name).select(member, entities=entities_of(made, member, name), k=7)
        (said,) = server.answer(f"candidates-{name}", {"member_id": member, "k": 7})
        assert said == as_said(expected, "store")
        assert len(said["candidates"]) == 7
        assert all(0 <= own["score"] <= 1 and own["why"] for own in said["candidates"])


def test_the_baseline_reads_no_entities_and_no_store(made, asked, members):
    (said,) = asked("baseline", {"member_id": members[0], "k": 5}, store=None)
    assert said == as_said(opened(made, "baseline").select(members[0], k=5), "none")
    assert not any("entities" in clause["source"] for clause in said["clauses"])


def test_a_visitor_gets_what_his_actions_and_what_follows_of_them_select(made, asked):
    suggests = SuggestionsModel(
        open_package(made.package("suggestions-finetuned")), Place(store=made.store)
    )
    instance = suggests.read({"instances": [{"actions": VISIT, "surface": "any", "k": 20}]})
    (following,) = asyncio.run(suggests.answer(instance, {}))
    entities = [(own["kind"], own["text"], own["score"]) for own in following["suggestions"]]
    for name, known, source in (("finetuned", entities, "encoder"), ("baseline", [], "none")):
        (said,) = asked(name, {"actions": VISIT})
        expected = opened(made, name).select(None, entities=known, actions=VISIT)
        assert said == as_said(expected, source)
    assert len(entities) == 20


def test_a_visitors_actions_count_in_the_order_of_their_times(asked):
    timed = [action | {"ts": NOW + number} for number, action in enumerate(VISIT)]
    (given,), (turned,) = (asked("finetuned", {"actions": own}) for own in (timed, timed[::-1]))
    assert given == turned


def test_somebody_unknown_gets_what_many_applied_to_and_a_note(server):
    (said,) = server.answer("candidates-finetuned", {"member_id": "nobody at all", "k": 2})
    assert (said["source"], said["clauses"], len(said["candidates"])) == ("none", [], 2)
    assert "nothing is known" in said["note"]


def test_instances_of_a_request_are_answered_as_each_would_be(asked, members):
    instances = [{"member_id": members[0]}, {"actions": VISIT, "k": 3}, {"member_id": members[1]}]
    together = asked("finetuned", *instances)
    assert together == [asked("finetuned", instance)[0] for instance in instances]


def test_requests_at_once_do_not_mix(made, members):
    model = CandidatesModel(
        open_package(made.package("candidates-finetuned")), Place(store=made.store)
    )
    instances = [model.read({"instances": [{"member_id": member}]}) for member in members]

    async def both():
        alone = [await model.answer(own, {}) for own in instances]
        return alone, await asyncio.gather(*(model.answer(own, {}) for own in instances * 3))

    alone, together = asyncio.run(both())
    assert together == alone * 3


def test_a_push_of_new_entities_changes_the_answer(made, asked, members, tmp_path):
    """What the daily pipeline does: the same members and encoder, other entities."""
    member, other = members[:2]
    entities = pq.read_table(made.home / "entities")
    rows = {name: row for row, name in enumerate(entities["member_id"].to_pylist())}
    order = list(range(len(entities)))
    order[rows[member]], order[rows[other]] = rows[other], rows[member]
    swapped = entities.take(order).set_column(0, "member_id", entities["member_id"])
    pq.write_table(swapped, tmp_path / "entities.parquet")
    store = f"lmdb:{tmp_path / 'store'}"
    labels = read_labels(made.home / "examples")
    answers = []
    for day, own in enumerate((made.home / "entities", tmp_path / "entities.parquet")):
        source = Source(made.home / "members", own)
        push(store, "finetuned", source, data_time=NOW + day, labels=labels)
        answers += asked("finetuned", {"member_id": member}, store=store)
    expected = opened(made, "finetuned").select(member, entities=entities_of(made, other))
    assert answers[0] != answers[1] == as_said(expected, "store")


def test_who_was_deleted_from_the_store_gets_no_entities_back_from_the_package(
    made, asked, members, tmp_path
):
    shutil.copytree(made.home / "store", tmp_path / "store")
    url = f"lmdb:{tmp_path / 'store'}"
    with open_store(url, dataset="finetuned", role="writer") as store:
        store.delete(members[0])
    (said,) = asked("finetuned", {"member_id": members[0]}, store=url)
    assert said["source"] == "none"
    assert not any("entities" in clause["source"] for clause in said["clauses"])


def test_without_a_store_that_fits_the_packages_own_entities_answer(made, asked, members, tmp_path):
    other, store = tmp_path / "other", f"lmdb:{tmp_path / 'store'}"
    own: MemberVectors = made.members()
    save_member_vectors(other, own._replace(encoder="another", closed={}))
    push(store, "finetuned", Source(other, made.home / "entities"), data_time=NOW)
    expected = as_said(opened(made, "finetuned").select(members[0]), "package")
    for url in (None, f"lmdb:{tmp_path / 'none'}", store):
        assert asked("finetuned", {"member_id": members[0]}, store=url) == [expected]


def test_a_new_version_of_the_package_answers_without_a_restart(made, members, tmp_path):
    def offer(variant):
        parts = {"candidates": made.home / "candidates" / variant}
        about = {"service": "candidates", "name": "baseline", "settings": SETTINGS}
        return write_package(tmp_path / "package", parts, **about)

    async def answers():
        registry = Registry([offer("baseline").path], Place())
        await registry.load_all()
        for variant in ("baseline", "finetuned"):
            offer(variant)
            await registry.load("candidates-baseline")
            model = registry.models["candidates-baseline"]
            yield variant, (await model.answer(model.read({"instances": [asked]}), {}))[0]

    async def found():
        return [answer async for answer in answers()]

    asked = {"member_id": members[0]}
    for variant, said in asyncio.run(found()):
        expected = Candidates.open(made.home / "candidates" / variant).select(
            members[0], entities=[]
        )
        assert said == as_said(expected, "none")
