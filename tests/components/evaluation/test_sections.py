"""The uses in a report: the same tables for a page and a terminal."""

import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from components.evaluation.report import print_report, write_report
from components.evaluation.sections import interval, percent, sections

FIGURES = {
    f"{figure}{bound}": value
    for figure in ("ndcg@25", "auc", "mrr")
    for bound, value in (("", 0.61), ("_low", 0.6), ("_high", 0.62))
}
DIFFERENCE = {
    "method": "TF-Ranking + vector",
    "against": "TF-Ranking",
    "figure": "ndcg@25",
    "difference": 0.012,
    "low": 0.008,
    "high": 0.016,
    "lift_percent": 2.0,
}
RANKING = {
    "ranking": [
        {"method": method, **FIGURES, "lists": 3200}
        for method in ("as shown", "LambdaMART", "TF-Ranking", "TF-Ranking + vector")
    ],
    "ranking_differences": [
        DIFFERENCE,
        {**DIFFERENCE, "figure": "auc", "difference": -0.001, "low": -0.003, "high": 0.001},
    ],
    "ranking_frequency": [
        {"method": method, "band": band, "ndcg@25": 0.5, "lists": 100}
        for method in ("LambdaMART", "TF-Ranking + vector")
        for band in ("0", "1-3")
    ],
}


def printed(tables):
    console = Console(file=io.StringIO(), width=160)
    print_report({"recipe": "quickstart", "tables": tables}, console)
    return console.file.getvalue()


def test_a_use_that_was_not_measured_has_no_section():
    assert sections({"query_recommendation": [], "ranking": []}) == []


@pytest.mark.parametrize("tables", [RANKING])
def test_every_figure_of_a_section_is_drawn(tables):
    for section in sections(tables):
        for figure in section.figures:
            assert ElementTree.fromstring(figure.draw()).tag.endswith("svg")


def test_page_and_terminal_show_the_same_cells(tmp_path):
    write_report(tmp_path, recipe="quickstart", tables=RANKING, seed=0)
    page, shown = (tmp_path / "report.html").read_text(), printed(RANKING)
    for cell in (".610 [.600, .620]", ".012 [.008, .016]", "+2.00%"):
        assert cell in page
        assert cell in shown
    assert "3,200 searches" in page
    assert "ranking_frequency" not in shown


def test_an_interval_is_written_after_its_figure_and_nothing_where_there_is_none():
    row = {"auc": 0.7, "auc_low": 0.65, "auc_high": 0.75}
    assert interval(row, "auc") == ".700 [.650, .750]"
    assert interval(row, "mrr") == ""


def test_a_percentage_has_its_sign():
    assert (percent(1.234), percent(-0.5), percent(None)) == ("+1.23%", "−0.50%", "")
