"""How a section writes its figures."""

from components.evaluation.section import interval, percent


def test_an_interval_is_written_after_its_figure_and_nothing_where_there_is_none():
    row = {"auc": 0.7, "auc_low": 0.65, "auc_high": 0.75}
    assert interval(row, "auc") == ".700 [.650, .750]"
    assert interval(row, "mrr") == ""


def test_a_percentage_has_its_sign():
    assert (percent(1.234), percent(-0.5), percent(None)) == ("+1.23%", "−0.50%", "")
