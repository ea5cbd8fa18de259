"""The daily pipeline on one machine: a day costs what is new in it, and nothing is lost."""

import json
from io import StringIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from components.activity.sessions import write_sessions
from components.baselines.fasttext import train_word_vectors
from components.days.actions import merge_actions, newest_day, renumbered
from components.days.handover import PARTS, Handover, keep_models
from components.days.tomorrow import write_tomorrow
from components.encoder.embed import embed_members
from components.encoder.pretrain import pretrain
from components.encoder.vectors import MemberVectors
from components.extreme.training_sets import train_slices
from components.labels.examples import LABELS, Examples, build_examples
from components.marketplace.generate import generate
from components.store.store import open_store
from components.text.documents import write_tokens
from components.text.vocabulary import train_vocabulary
from pipelines.local import runs
from pipelines.local.day import launch_day
from pipelines.local.runner import StepFailed
from pipelines.recipe import load_recipe

RECIPE = """
name: daily
source: {kind: jobs, members: 60, occupations: 8, companies: 32, postings: 200, workers: 1}
activity: {partitions: 2}
split: {validation: 0.1, test: 0.3}
text: {vocabulary_size: 600}
encoder: {layers: 1, hidden: 16, heads: 1, max_tokens: 64}
pretrain: {epochs: 0.2, dupe_factor: 1, evaluations: 1}
embed: {engine: torch}
fasttext: {dimension: 8, epochs: 1, threads: 1}
"""


class Days:
    """A training run's models handed over, and the days after it."""

    def __init__(self, root, recipe):
        self.root, self.recipe = root / "runs", recipe
        self.work = root / "work"
        self.run = runs.create(recipe.name, RECIPE, {}, root=self.root)
        self.store = f"lmdb:{self.root / runs.STORE}"
        self.models = str(self.root / runs.MODELS)
        self._train()

    def _train(self):
        r, w = self.recipe, self.work
        generate(r.source, w / "feed", w / "truth", seed=r.seed)
        split = {"split": r.split, "seed": r.seed}
        write_sessions(w / "feed" / "actions", w / "sessions", r.activity)
        train_vocabulary(w / "sessions", w / "vocabulary", r.text, r.vertical, **split)
        write_tokens(w / "sessions", w / "vocabulary", w / "tokens", r.text, **split)
        build_examples(w / "sessions", w / "labels", r.examples, r.vertical, **split)
        settings = {"config": r.pretrain, "encoder": r.encoder, "seed": r.seed}
        pretrain(
            w / "tokens",
            w / "vocabulary",
            w / "encoder",
            **settings,
            checkpoints=w / "checkpoints",
        )
        for part, dimension in (("slices", self.dimension()), ("word_slices", 8)):
            examples = Examples.open(w / "labels")
            vectors = np.random.default_rng(1).normal(size=(len(examples), dimension))
            train_slices(vectors.astype(np.float32), examples, w / part, r.slice, seed=1)
        train_word_vectors(
            w / "sessions",
            w / "words",
            config=r.fasttext,
            vertical=r.vertical,
            **split,
            sequence="action",
        )
        for part in ("examples", "audience", "features", "actions"):
            (w / part).mkdir()
        (w / "examples" / LABELS).write_bytes((w / "labels" / LABELS).read_bytes())
        renumbered(w / "feed" / "actions", w / "actions")
        self.hand_over()

    def dimension(self):
        embed_members(
            self.work / "encoder",
            self.work / "tokens",
            self.work / "vectors",
            config=self.recipe.embed,
            previous=None,
        )
        return MemberVectors.open(self.work / "vectors").vectors.shape[1]

    def hand_over(self):
        return keep_models(
            self.models,
            {part: self.work / part for part in PARTS},
            settings=self.recipe.sections(),
            run=self.run.path.name,
            vectors=self.work / "vectors",
            actions=self.work / "actions",
            day=newest_day(self.work / "actions"),
        )

    def handed(self):
        return Handover.open(self.models)

    def tomorrow(self, name, seed=1, known=()):
        """Write the next day's actions, beyond what was handed over and other days' files."""
        before = self.root / f"before-{name}"
        before.mkdir()
        renumbered(self.handed().place("actions"), before)
        for number, other in enumerate(known):
            one = before / f"extra-{number}"
            one.mkdir()
            merge_actions(before, _as_feed(other, one), before, deleted=())
        target = self.root / f"{name}.parquet"
        write_tomorrow(before, target, seed=seed)
        return target

    def day(self, actions, *, shards=2, every=3):
        self.shown = StringIO()
        return launch_day(
            self.run,
            source={"kind": "files", "path": str(actions)},
            shards=shards,
            refresh_index_every=every,
            console=Console(file=self.shown, width=200),
        )

    def from_scratch(self, target):
        """Vectors of everybody, made of all actions at once."""
        r, t = self.recipe, target
        write_sessions(self.handed().place("actions"), t / "sessions", r.activity)
        split = {"split": r.split, "seed": r.seed}
        write_tokens(t / "sessions", self.work / "vocabulary", t / "tokens", r.text, **split)
        encoder = self.work / "encoder"
        embed_members(encoder, t / "tokens", t / "vectors", config=r.embed, previous=None)
        return MemberVectors.open(t / "vectors")


def _as_feed(actions, target):
    rows = pq.read_table(actions)
    sequence = np.arange(len(rows))
    pq.write_table(rows.add_column(2, "sequence", [sequence]), target / "part.parquet")
    return target


def metric(day, step, name):
    """Sum a metric over the turns of a step."""
    found = [path for path in day.path.rglob("executor_output.json") if path.parent.name == step]
    assert found, step
    values = [
        artifact["metadata"][name]
        for path in found
        for output in json.loads(path.read_text())["artifacts"].values()
        for artifact in output["artifacts"]
        if name in artifact.get("metadata", {})
    ]
    return sum(values)


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    return Days(tmp_path_factory.mktemp("daily"), load_recipe(RECIPE))


@pytest.fixture(scope="module")
def first(days):
    """The first day, on which the index is due: what its actions were, and its run."""
    actions = days.tomorrow("first")
    return actions, days.day(actions, shards=3, every=1)


@pytest.fixture(scope="module")
def second(days, first):
    """A day after one that was missed: all three days' actions, one member deleted, no index."""
    missed = days.tomorrow("missed", seed=2)
    late = days.tomorrow("late", seed=3, known=[missed])
    together = days.root / "together"
    together.mkdir()
    for number, file in enumerate((first[0], missed, late)):
        (together / f"{number}.parquet").write_bytes(file.read_bytes())
    gone = pq.read_table(late)["member_id"][0].as_py()
    with open_store(days.store, dataset="finetuned", role="writer") as store:
        store.delete(gone)
    before = days.handed()
    return {
        "new": len(pq.read_table(missed)) + len(pq.read_table(late)),
        "active": {m for f in (missed, late) for m in pq.read_table(f)["member_id"].to_pylist()},
        "gone": gone,
        "before": before,
        "run": days.day(together, shards=1, every=400),
    }


def test_a_days_vectors_are_those_of_everything_computed_at_once(days, second, tmp_path):
    found = MemberVectors.open(second["run"].path / "vectors" / "vectors")
    expected = days.from_scratch(tmp_path)
    assert found.member_ids == expected.member_ids
    np.testing.assert_allclose(found.vectors, expected.vectors, rtol=0, atol=1e-5)


def test_only_members_who_were_there_are_encoded(first, second):
    actions, day = first
    active = len(set(pq.read_table(actions)["member_id"].to_pylist()))
    assert 0 < active <= metric(day, "embed-shard", "encoded") < 3 * active < 30
    assert metric(day, "vectors", "members") == 60
    active = len(second["active"] - {second["gone"]})
    assert active <= metric(second["run"], "embed-shard", "encoded") < 3 * active < 30


def test_a_missed_day_is_made_good_by_the_next_and_nothing_counts_twice(days, first, second):
    assert metric(second["run"], "actions", "new") == second["new"]
    assert metric(second["run"], "actions", "known") == len(pq.read_table(first[0]))
    assert days.handed().day.day > second["before"].day.day


def test_a_deleted_member_stays_away_from_store_vectors_and_what_is_known(days, second):
    with open_store(days.store, dataset="finetuned") as store:
        assert store.get(second["gone"]) is None
        assert store.current().members == 59
    known = MemberVectors.open(days.handed().place("vectors")).member_ids
    assert second["gone"] not in known.to_pylist()
    kept = pq.read_table(days.handed().place("actions"), columns=["member_id"])["member_id"]
    assert second["gone"] not in kept.to_pylist()


def test_a_loops_turns_are_steps_of_their_own(days, first, second):
    ledger = json.loads((first[1].path / "steps.json").read_text())["steps"]
    shards = [step["step"] for step in ledger if "embed-shard" in step["step"]]
    assert len(shards) == 3
    assert "18/18" in days.shown.getvalue()
    assert "18 steps in" in days.shown.getvalue()


def test_readers_get_the_day_from_the_store(days, second):
    fresh = MemberVectors.open(second["run"].path / "vectors" / "vectors")
    member = min(second["active"] - {second["gone"]})
    row = fresh.member_ids.index(member).as_py()
    with open_store(days.store, dataset="finetuned") as store:
        np.testing.assert_allclose(store.get(member).vector, fresh.vectors[row], atol=2e-2)
    with open_store(days.store, dataset="fasttext") as store:
        assert store.get(member) is not None


def test_the_index_is_made_anew_when_it_is_due(days, first, second):
    assert list((first[1].path / "neighbours" / "index").iterdir())
    assert list((second["run"].path / "neighbours" / "index").iterdir()) == []
    assert second["before"].day.indexed == second["before"].day.day
    assert days.handed().day.indexed == second["before"].day.indexed


def test_handing_the_same_models_over_again_goes_on_from_the_last_day(days, second):
    before = days.handed()
    assert days.hand_over() == before.version
    assert days.handed().day == before.day


def test_a_day_that_fails_says_so_and_changes_nothing(days, second):
    before = days.handed()
    with pytest.raises(StepFailed, match="step ingest: .*nowhere"):
        days.day(days.root / "nowhere.parquet")
    assert days.handed() == before
