"""The report: for tools, for a terminal, for a reader."""

import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from components.evaluation.errors import EvaluationError
from components.evaluation.report import headline, print_report, read_log, write_report

METRICS = (
    "p@1",
    "p@3",
    "p@5",
    "ss@1",
    "ss@3",
    "ss@5",
    "coverage",
    "repeats",
    "repeats@1",
    "psp@1",
    "psp@3",
)


def row(method, dataset, value, **more):
    return {
        "method": method,
        "dataset": dataset,
        **dict.fromkeys((*METRICS, "psp@5"), value),
        "n": 790,
        **more,
    }


ROWS = [
    row("popular", "D1-new", 0.125, perfect=0.1, good=0.1, fair=0.2, bad=0.6),
    row("co-occurrence", "D1-new", 0.175, perfect=0.2, good=0.1, fair=0.2, bad=0.5),
    row("BERT_FT+Slice", "D1-new", 0.25, perfect=0.5, good=0.25, fair=0.15, bad=0.1),
    row("repeat", "D2", 0.95),
    row("BERT_FT+Slice", "D2", 0.7, coverage=0.76),
    row("BERT+e2e", "D2", 0.8, coverage=0.12),
]
DIFFERENCE = {"method": "BERT_FT+Slice", "against": "popular", "dataset": "D1-new"}
TABLES = {
    "sessions": [{"statistic": "sessions per member", "ours": 16.2, "paper": 16.47}],
    "query_recommendation": ROWS,
    "differences": [{**DIFFERENCE, "p@1": 0.125, "low": 0.1, "high": 0.15}],
    "frequency": [],
}
TRAIL = {
    "member": "Member m0042",
    "sessions": [["JOB_SEARCH <b>nurse</b>", "VIEW c_acme_inc icu nurse"]],
    "suggestions": {
        "Suggested searches": [{"text": "icu nurse", "score": 1.5}],
        "Try searching for": [{"text": "rn", "score": 1.2}, {"text": "nurse", "score": 0.9}],
    },
    "past": ["nurse"],
    "truth": ["icu nurse"],
}


def write(directory, **options):
    write_report(directory, **{"recipe": "quickstart", "tables": TABLES, "seed": 0, **options})
    return (directory / "report.html").read_text()


class Page(HTMLParser):
    """The visible words of a page; fails on tags that do not close."""

    VOID = ("meta", "br", "img", "i", "use", "path", "image", "rect")

    def __init__(self, html):
        super().__init__()
        self.open, self.words, self.links = [], [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words += data.split()

    @property
    def text(self):
        return " ".join(self.words)


def test_report_json_is_what_other_tools_rely_on(tmp_path):
    write(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report) == {"recipe", "tables"}
    assert report["recipe"] == "quickstart"
    assert report["tables"] == TABLES


def test_the_page_needs_nothing_but_itself(tmp_path):
    figure = tmp_path / "lengths.svg"
    figure.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0, "validation_loss": 1.5}\n')
    page = Page(
        write(
            tmp_path,
            facts={"members": 8000},
            logs={"Pre-training": log},
            trails=[TRAIL],
            session_figures=[{"path": str(figure), "caption": "Sessions by length"}],
        )
    )
    assert all(link.startswith(("data:", "#")) for link in page.links)
    for words in ("8,000 members", "BERT_FT+Slice", "Pre-training", "Sessions by length", "16.47"):
        assert words in page.text


def test_a_member_cannot_write_into_the_page(tmp_path):
    html = write(tmp_path, trails=[TRAIL])
    assert "<b>nurse" not in html
    assert "&lt;b&gt;nurse" in html


def test_a_trail_shows_what_came_true_and_what_repeats(tmp_path):
    items = write(tmp_path, trails=[TRAIL]).split("<li>")[1:]
    names = [re.sub("<.*?>", "", item.split('class="bar"')[0] + ">") for item in items]
    text = [" ".join(name.split()) for name in names]
    assert text == ["icu nurse ✓ came true", "rn", "nurse ↺ past"]


def test_differences_read_from_the_row_to_ours(tmp_path):
    text = Page(write(tmp_path)).text
    assert "popular .125 .125 .125" in text
    assert "−.125 [−.150, −.100]" in text


def test_d2_comes_with_its_warning(tmp_path):
    assert "right nearly always, by construction" in Page(write(tmp_path)).text


def test_a_report_without_suggestions_still_shows_its_tables(tmp_path):
    page = Page(write(tmp_path, tables={"sessions": TABLES["sessions"]}))
    assert "sessions per member" in page.text
    assert "How good" not in page.text


def test_the_headline_holds_ours_beside_the_best_floor():
    figures = {tile["figure"]: tile["beside"] for tile in headline(ROWS)}
    assert figures == {
        ".250": "best floor: co-occurrence .175",
        ".700": "best floor: repeat .950",
        "76%": "trained end to end: 12%",
        "75%": "best floor: co-occurrence 30%",
    }


def test_there_is_no_headline_without_our_method():
    assert headline([row("popular", "D2", 0.1)]) == []


def printed(tmp_path):
    write(tmp_path)
    console = Console(record=True, width=100, file=(tmp_path / "terminal").open("w"))
    print_report(json.loads((tmp_path / "report.json").read_text()), console)
    return console


def test_the_terminal_shows_a_block_per_data_set(tmp_path):
    lines = [line.split() for line in printed(tmp_path).export_text().splitlines()]
    first, second = (
        next(i for i, line in enumerate(lines) if line[:1] == [start])
        for start in ("D1-new,", "D2,")
    )
    assert [line[0] for line in lines[first:second]] == [
        "D1-new,",
        "popular",
        "co-occurrence",
        "BERT_FT+Slice",
    ]
    assert lines[second + 2][:4] == ["BERT_FT+Slice", ".700", ".700", ".700"]


def test_the_terminal_table_fits_eighty_columns(tmp_path):
    lines = printed(tmp_path).export_text().splitlines()
    rows = [line.rstrip() for line in lines if line.startswith("  BERT_FT+Slice")]
    assert max(map(len, rows)) in range(70, 81)


def test_the_best_is_bold_in_the_terminal(tmp_path):
    styled = printed(tmp_path).export_text(styles=True)
    assert "\x1b[1m.250" in styled
    assert "\x1b[1m.700" not in styled


@pytest.mark.parametrize("line", ["", "[]", '{"loss": 1}', '{"step": 1, "lo'])
def test_a_damaged_log_is_an_error_that_names_the_line(tmp_path, line):
    log = tmp_path / "log.jsonl"
    log.write_text(f'{{"step": 1, "loss": 2.0}}\n{line}\n')
    with pytest.raises(EvaluationError, match=r"log\.jsonl, line 2"):
        read_log(log)


def test_a_missing_log_or_figure_is_an_error_that_names_it(tmp_path):
    with pytest.raises(EvaluationError, match="nowhere.jsonl"):
        read_log(tmp_path / "nowhere.jsonl")
    for name in ("nowhere.svg", "figure.pdf"):
        figures = [{"path": str(tmp_path / name), "caption": ""}]
        with pytest.raises(EvaluationError, match=name):
            write(tmp_path, session_figures=figures)
