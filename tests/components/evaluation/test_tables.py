"""How tables are read: what stands in bold, and how numbers are written."""

import pytest

from components.evaluation.tables import graded, is_best, plain, share


def rows(**values):
    return [{"method": method.replace("_", "+"), "p@1": value} for method, value in values.items()]


def bold(block):
    return [row["method"] for row in block if is_best(row, block, "p@1")]


def test_the_best_trained_model_is_bold():
    assert bold(rows(popular=0.1, fastText_Slice=0.4, BERT_e2e=0.8)) == ["BERT+e2e"]


def test_a_floor_that_no_model_beats_is_bold_beside_the_best_model():
    assert bold(rows(repeat=0.9, popular=0.1, BERT_e2e=0.8)) == ["repeat", "BERT+e2e"]


def test_equals_are_bold_together():
    assert bold(rows(fastText_Slice=0.8, BERT_e2e=0.8)) == ["fastText+Slice", "BERT+e2e"]


def test_nothing_is_best_at_zero():
    assert bold(rows(popular=0, BERT_e2e=0)) == []


def test_without_a_model_the_best_floor_is_bold():
    assert bold(rows(popular=0.1, repeat=0.3)) == ["repeat"]


def test_repeating_much_is_neither_good_nor_bad():
    block = [{"method": "BERT+e2e", "repeats": 0.9}]
    assert not is_best(block[0], block, "repeats")


GRADES = {"perfect": 0.6, "good": 0.2, "fair": 0.1, "bad": 0.1}


def test_grades_are_shown_for_members_who_never_searched():
    table = [{"dataset": dataset, **GRADES} for dataset in ("D1-new", "D2", "D3")]
    assert graded(table) == [{"dataset": "D3", **GRADES}]
    assert graded(table[:2]) == [{"dataset": "D1-new", **GRADES}]
    assert graded([{"dataset": "D3"}]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.6963, ".696"), (0.0, ".000"), (1.0, "1.000"), (0.9999, "1.000"), (-0.05, "−.050")],
)
def test_shares_are_written_as_in_the_paper(value, text):
    assert share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8000, "8,000"),
        (16.47, "16.47"),
        (0.158, "0.158"),
        (5296.3, "5,296"),
        (3.0, "3"),
        ("words", "words"),
        (None, ""),
        (True, "True"),
    ],
)
def test_cells_of_other_tables_are_written_by_size(value, text):
    assert plain(value) == text
