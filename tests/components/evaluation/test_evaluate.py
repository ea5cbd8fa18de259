"""The table: which members, which labels, which rows."""

import json

import numpy as np
import pyarrow as pa
import pytest

from components.evaluation.config import EvaluationConfig
from components.evaluation.errors import EvaluationError
from components.evaluation.evaluate import evaluate, frequency_bands
from components.labels.examples import Examples

ENTITY_VECTORS = np.eye(5, dtype=np.float32)
CONFIG = EvaluationConfig(resamples=50)


def always(*labels):
    """Give everybody `labels`, less what is excluded."""

    def predict(rows, k, exclude):
        barred = np.zeros((len(rows), 5), bool) if exclude is None else exclude.toarray() > 0
        ranked = [[label for label in labels if not row[label]] for row in barred]
        found = np.array([(row + [-1] * k)[:k] for row in ranked], np.int32)
        return found, np.zeros(found.shape, np.float32)

    return predict


@pytest.fixture
def run(examples, tmp_path):
    def run(predictors, **options):
        options = {"entity_vectors": ENTITY_VECTORS, "seed": 0, **options}
        config = options.pop("config", CONFIG)
        examples_ = options.pop("examples", examples)
        return evaluate(examples_, predictors, tmp_path / "evaluation.json", config, **options)

    return run


def row(result, method, dataset):
    [found] = [r for r in result["rows"] if (r["method"], r["dataset"]) == (method, dataset)]
    return found


def test_only_test_members_with_labels_count(run):
    result = run({})
    counts = {r["dataset"]: r["n"] for r in result["rows"]}
    assert counts == {"D1": 3, "D1-new": 2, "D2": 3, "D3": 1}


def test_rows_hold_every_metric_of_the_table(run):
    # Truths: cho 0 and 1, dan 3, eve 2; label 3 first, then 0.
    measured = row(run({"BERT_FT+Slice": always(3, 0)}), "BERT_FT+Slice", "D1")
    assert measured["p@1"] == pytest.approx(1 / 3)
    assert measured["p@3"] == pytest.approx(2 / 9)
    assert measured["p@5"] == pytest.approx(2 / 15)
    assert measured["ss@1"] == pytest.approx(1 / 3)
    assert measured["coverage"] == pytest.approx(2 / 5)
    assert measured["repeats"] == pytest.approx(1 / 6)
    assert measured["repeats@1"] == 0
    assert 0 < measured["psp@1"] <= measured["psp@3"] <= measured["psp@5"] <= 1


def test_the_past_is_excluded_on_d1_new_and_nowhere_else(run):
    result = run({"BERT_FT+Slice": always(0, 2, 3, 1)})
    # New to cho (past 0) is 1, to dan (past 2 and 4) 3.
    assert row(result, "BERT_FT+Slice", "D1-new")["p@3"] == pytest.approx(2 / 6)
    assert row(result, "BERT_FT+Slice", "D1-new")["repeats"] == 0
    assert row(result, "BERT_FT+Slice", "D2")["repeats"] > 0


def test_repeating_oneself_scores_on_d2_and_nothing_on_d1_new(run):
    result = run({})
    assert row(result, "repeat", "D2")["p@1"] == 1
    assert row(result, "repeat", "D1-new")["p@1"] == 0


def test_published_figures_stand_in_the_rows_of_their_data_set_and_their_order_is_compared(run):
    def grader(member_ids, labels):
        return np.where(labels == 3, 0, 3)

    result = run({"BERT_FT+Slice": always(3), "fastText+Slice": always(0)}, grader=grader)
    assert row(result, "BERT_FT+Slice", "D2")["published"]["p@1"] == 0.696
    assert row(result, "BERT_FT+Slice", "D3")["published"]["perfect"] == 0.64
    published = {(r["method"], r["dataset"]) for r in result["rows"] if "published" in r}
    assert published == {
        (method, dataset)
        for method in ("BERT_FT+Slice", "fastText+Slice")
        for dataset in ("D2", "D3")
    }
    compared = [(r["dataset"], r["figure"], r["above"], r["difference"]) for r in result["order"]]
    # Label 3 is dan's alone of three, and he alone is of D3; label 0 is cho's.
    assert compared == [
        ("D2", "p@1", "BERT_FT+Slice", 0),
        ("D2", "coverage", "BERT_FT+Slice", 0),
        ("D3", "perfect", "BERT_FT+Slice", pytest.approx(0.2)),
    ]


def test_what_a_method_tells_of_itself_is_kept(run):
    told = {"ACG": {"seconds": 3.0, "unknown": 0.25}}
    result = run({"ACG": always(0), "CARS": always(0)}, told=told)
    assert result["baselines"] == [{"method": "ACG", "seconds": 3.0, "unknown": 0.25}]
    assert row(result, "ACG", "D1")["unknown"] == 0.25
    assert "unknown" not in row(result, "CARS", "D1")


def test_methods_come_in_the_order_of_the_table(run):
    result = run({"later idea": always(0), "BERT+e2e": always(0), "fastText+Slice": always(0)})
    methods = [r["method"] for r in result["rows"] if r["dataset"] == "D1"]
    assert methods == [
        "popular",
        "repeat",
        "co-occurrence",
        "BERT+e2e",
        "fastText+Slice",
        "later idea",
    ]


def test_a_method_may_have_one_predictor_per_data_set(run):
    result = run({"BERT_FT+Slice": {"D1": always(3), "D2": always(1)}})
    measured = {r["dataset"]: r["p@1"] for r in result["rows"] if r["method"] == "BERT_FT+Slice"}
    # D3 is dan, whose labels are 2, 3 and 4, and is served by the predictor for D2.
    assert measured == {"D1": pytest.approx(1 / 3), "D2": pytest.approx(1 / 3), "D3": 0}


def test_d3_is_left_out_where_nobody_ever_searches(run, examples):
    searched = {**examples.table, "searched": np.zeros(5, bool)}
    columns = pa.table(searched)
    labels = pa.table({"text": examples.label_texts, "kind": [""] * 5, "count": [1] * 5})
    silent = Examples(columns, labels, [examples.context, examples.context, examples.target])
    methods = {"BERT_FT+Slice": always(3), "fastText+Slice": always(0)}
    result = run(methods, examples=silent)
    assert {r["dataset"] for r in result["rows"]} == {"D1", "D1-new", "D2"}
    # Nor is there what the paper measured.
    assert result["order"] == []
    assert not any("published" in r for r in result["rows"])


def test_grades_are_of_the_suggestions_shown(run):
    def grader(member_ids, labels):
        assert labels.shape[1] == CONFIG.shown
        by_label = np.array([0, 1, 2, 3, 3, -1])  # the last is a missing suggestion
        return by_label[labels]

    measured = row(run({"BERT_FT+Slice": always(0, 3)}, grader=grader), "BERT_FT+Slice", "D3")
    shares = {grade: measured[grade] for grade in ("perfect", "good", "fair", "bad")}
    assert shares == {"perfect": 0.5, "good": 0, "fair": 0, "bad": 0.5}


def test_differences_compare_ours_with_every_other_method(run):
    differences = run({"BERT_FT+Slice": always(3), "BERT+e2e": always(3)})["differences"]
    against = {d["against"]: d for d in differences if d["dataset"] == "D1"}
    assert set(against) == {"popular", "repeat", "co-occurrence", "BERT+e2e"}
    assert against["BERT+e2e"]["p@1"] == against["BERT+e2e"]["low"] == 0
    assert against["repeat"]["low"] <= against["repeat"]["p@1"] <= against["repeat"]["high"]


def test_frequency_splits_by_the_count_in_training(run):
    result = run({"BERT_FT+Slice": always(3, 4)})
    bands = [f for f in result["frequency"] if (f["method"], f["dataset"]) == ("repeat", "D2")]
    assert [band["band"] for band in bands] == ["1-3", "4-15"]
    assert [band["recall"] for band in bands] == [pytest.approx(3 / 5), 1]


def test_bands_hold_every_count():
    bands = frequency_bands(64)
    assert bands == {"1-3": (1, 4), "4-15": (4, 16), "16-63": (16, 64), "64-255": (64, 256)}


def test_more_members_than_wanted_are_drawn_at_random(run):
    config = EvaluationConfig(resamples=50, members=2)
    assert row(run({}, config=config), "popular", "D2")["n"] == 2


def test_the_result_is_written_whole(run, tmp_path):
    result = run({})
    assert json.loads((tmp_path / "evaluation.json").read_text()) == result
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


def test_entity_vectors_of_other_labels_are_an_error(run):
    with pytest.raises(EvaluationError, match="entity_vectors has 4 rows for 5 labels"):
        run({}, entity_vectors=ENTITY_VECTORS[:4])


def test_a_predictor_of_other_labels_is_an_error_that_names_the_method(run):
    with pytest.raises(EvaluationError, match=r"BERT\+e2e returned labels .* up to 7"):
        run({"BERT+e2e": lambda rows, k, exclude: (np.full((len(rows), k), 7), None)})
