"""Long contexts: the ways to a vector, on the same members."""

import json

import numpy as np
import pytest

from components.encoder.config import EmbedConfig
from components.encoder.embed import embed_examples
from components.encoder.vectors import load_vectors, save_vectors
from components.evaluation.config import EvaluationConfig
from components.evaluation.context_section import long_contexts_section
from components.evaluation.context_tables import (
    CHUNKS,
    EVERYBODY,
    LONG,
    MEASURED,
    NEWEST,
    ONE_PASS,
)
from components.evaluation.contexts import compare_contexts
from components.evaluation.errors import EvaluationError
from components.extreme.config import SliceConfig
from components.extreme.training_sets import train_slices
from components.labels.examples import Examples

CONFIG = EvaluationConfig(resamples=50)


def compare(run, target, config=CONFIG, **embed):
    return compare_contexts(
        run.encoder,
        run.tokens,
        run.examples,
        run.vectors,
        run.slices,
        target,
        embed=EmbedConfig(**embed),
        slice_config=SliceConfig(),
        config=config,
        seed=0,
    )


@pytest.fixture(scope="module")
def compared(run, tmp_path_factory):
    return compare(run, tmp_path_factory.mktemp("compared") / "contexts")


def figures(result):
    """Everything but what depends on the machine."""
    return {name: rows for name, rows in result.items() if name != "long_contexts_cost"}


def test_every_way_is_measured_on_all_and_on_those_with_more_chunks(compared):
    found = {(row["method"], row["dataset"], row["members"]) for row in compared["long_contexts"]}
    assert found == {
        (way, dataset, members)
        for way in (CHUNKS, ONE_PASS, NEWEST)
        for dataset in ("D1-new", "D2")
        for members in (EVERYBODY, LONG)
    }
    for row in compared["long_contexts"]:
        assert row["p@5_low"] <= row["p@5"] <= row["p@5_high"]


def test_a_difference_is_that_of_the_figures(compared):
    of = {(row["method"], row["dataset"], row["members"]): row for row in compared["long_contexts"]}
    for row in compared["long_contexts_differences"]:
        ours, theirs = (
            of[row[name], row["dataset"], row["members"]] for name in ("method", "against")
        )
        expected = ours[row["figure"]] - theirs[row["figure"]]
        assert row["difference"] == pytest.approx(expected, abs=1e-9)


def test_costs_are_of_the_same_contexts(compared):
    costs = {row["method"]: row for row in compared["long_contexts_cost"]}
    assert len({row["contexts"] for row in costs.values()}) == 1
    assert costs[CHUNKS]["cosine"] == pytest.approx(1)
    assert costs[NEWEST]["subwords"] < costs[ONE_PASS]["subwords"] <= costs[CHUNKS]["subwords"]


def test_a_run_that_encodes_in_one_pass_is_compared_alike(run, compared, tmp_path):
    settings = EmbedConfig(contexts="one_pass")
    own = run._replace(vectors=tmp_path / "vectors", slices=tmp_path / "slices")
    embed_examples(run.encoder, run.tokens, run.examples, own.vectors, config=settings)
    data = Examples.open(run.examples)
    train_slices(load_vectors(own.vectors), data, own.slices, SliceConfig(), seed=0)
    result = compare(own, tmp_path / "contexts", contexts="one_pass")
    assert figures(result) == figures(compared)
    assert json.loads((tmp_path / "contexts" / MEASURED).read_text()) == result


def test_of_many_examples_a_draw_is_compared(run, compared, tmp_path):
    drawn = len(Examples.open(run.examples)) // 2
    some = compare(run, tmp_path / "some", config=CONFIG.model_copy(update={"compared": drawn}))
    assert (
        compare(run, tmp_path / "again", config=CONFIG.model_copy(update={"compared": drawn}))[
            "long_contexts"
        ]
        == some["long_contexts"]
    )
    members = [{row["n"] for row in result["long_contexts"]} for result in (some, compared)]
    assert 0 < max(members[0]) < max(members[1])


def test_without_long_contexts_there_is_nothing_to_compare(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "components.evaluation.contexts.contexts",
        lambda *_, limit: lambda row: np.zeros(5, np.int32),
    )
    assert compare(run, tmp_path / "contexts") == {}
    assert not any((tmp_path / "contexts").iterdir())


def test_vectors_of_other_examples_are_refused(run, tmp_path):
    few = np.zeros((3, 32), np.float32)
    save_vectors(tmp_path / "vectors", few, few, encoder="other")
    with pytest.raises(EvaluationError, match="holds 3 vectors, there are 60 examples"):
        compare(run._replace(vectors=tmp_path / "vectors"), tmp_path / "contexts")
    assert not (tmp_path / "contexts").exists()


def test_the_report_shows_what_was_compared(compared):
    section = long_contexts_section(compared)
    precision, differences, costs = section.tables
    assert len(precision.rows) == len(compared["long_contexts"])
    assert {row[0] for row in costs.rows} == {CHUNKS, ONE_PASS, NEWEST}
    assert len(differences.rows) == 2 * 3 * 3
    assert set(section.uses) == set(compared)
    for table in section.tables:
        assert {len(row) for row in table.rows} == {len(table.head)}
