"""The uses in a report: the same tables for a page and a terminal."""

import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from components.evaluation.report import print_report, write_report
from components.evaluation.sections import sections
from components.evaluation.whole_run import markdown

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

AUDIENCE_FIGURES = {"recall": 0.5, "recall_low": 0.4, "recall_high": 0.6, "precision": 0.1}
AUDIENCE_SIZES = {
    "f1": 0.2,
    "liquidity_batch": 716.4,
    "liquidity": 1221,
    "per_posting": 9.0,
    "postings": 776,
}

COMPARED = {"method": "exact match + mean", "against": "exact match", "relative": 0.25}
AUDIENCE = {
    "audience": [
        {"method": method, **AUDIENCE_FIGURES, **AUDIENCE_SIZES}
        for method in ("exact match", "exact match + mean", "exact match + random")
    ],
    "audience_differences": [
        {**COMPARED, "measure": measure, "difference": value, "low": value / 2, "high": 2 * value}
        for measure, value in (("recall", 0.125), ("f1", 0.1), ("liquidity_batch", 91.0))
    ],
    "audience_curve": [
        {"mechanism": name, "neighbours": size, "per_posting": float(size), "recall": 0.5}
        for name in ("mean", "feedback")
        for size in (10, 100)
    ],
}
NEIGHBOURS = {
    "neighbours": [
        {"index": "exact", "width": None, "recall": 1.0, "queries_per_cpu_second": 13109.5},
        {"index": "hnsw", "width": 10, "recall": 0.94, "queries_per_cpu_second": 75786.1},
        {"index": "clusters", "width": 1, "recall": 0.72, "queries_per_cpu_second": 64258.3},
    ]
}
HIRED = {"applications": 960, "hired": 0.2, "predicted": 0.21, "ece_by_chance": 0.03}
HIRES = {
    "hires": [
        {
            **HIRED,
            "log_loss_of_base_rate": 0.5,
            "brier_of_base_rate": 0.16,
            **{
                f"{name}{bound}": value
                for name in ("auc", "log_loss", "brier", "ece")
                for bound, value in (("", 0.4), ("_low", 0.3), ("_high", 0.5))
            },
        }
    ],
    "hires_reliability": [
        {"predicted": value, "observed": value, "count": 96, "low": value / 2, "high": 2 * value}
        for value in (0.1, 0.3)
    ],
}


def printed(tables):
    console = Console(file=io.StringIO(), width=160)
    print_report({"recipe": "quickstart", "tables": tables}, console)
    return console.file.getvalue()


def test_a_use_that_was_not_measured_has_no_section():
    assert sections({"query_recommendation": [], "ranking": [], "hires": []}) == []


@pytest.mark.parametrize("tables", [RANKING, AUDIENCE, NEIGHBOURS, HIRES])
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


def test_the_pipeline_s_page_shows_the_same_cells_as_markdown():
    shown = markdown({"tables": {"query_recommendation": [], **RANKING}})
    assert "| TF-Ranking + vector | .610 [.600, .620] |" in shown


def test_an_audience_shows_whom_it_reaches_and_what_neighbours_add():
    shown = printed(AUDIENCE)
    for cell in ("716", "1,221", ".125 [.062, .250]", "+91 [+46, +182]", "+25.00%"):
        assert cell in shown
    assert "F1" in shown
    assert "776 postings" in shown
    assert ".100 [.050, .200]" not in shown


def test_neighbours_show_recall_and_speed_at_every_effort():
    shown = printed(NEIGHBOURS)
    assert "75,786" in shown
    assert ".720" in shown


def test_hires_show_the_model_beside_the_base_rate():
    shown = printed(HIRES)
    assert "960 applications" in shown
    assert ".400 [.300, .500]" in shown
    assert ".500" in shown
