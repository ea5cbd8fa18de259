"""Our figures beside the paper's, and what to make of them."""

from components.evaluation.published import TABLE_3, TABLE_5
from components.evaluation.published_section import published_section

D2 = {
    "dataset": "D2",
    **{"p@1": 0.5, "p@3": 0.45, "p@5": 0.4, "ss@1": 0.7, "ss@5": 0.6},
    **{"coverage": 0.9, "repeats@1": 1.0},
}
GRADED = {"perfect": 0.5, "good": 0.25, "fair": 0.15, "bad": 0.1, "dataset": "D3"}
ORDER = {
    "dataset": "D2",
    "figure": "p@1",
    "above": "BERT+e2e",
    "below": "BERT_FT+Slice",
    "published": 0.104,
    "difference": 0.2,
    "low": 0.1,
    "high": 0.3,
    "holds": "yes",
}
TABLES = {
    "query_recommendation": [
        D2 | {"method": "popular"},
        D2 | {"method": "ACG", "published": TABLE_3["ACG"], "unknown": 0.02},
        GRADED | {"method": "BERT_FT+Slice", "published": TABLE_5["BERT_FT+Slice"]},
    ],
    "order": [ORDER, ORDER | {"difference": -0.2, "low": -0.3, "high": -0.1, "holds": "no"}],
    "baselines": [{"method": "ACG", "seconds": 41.5, "parameters": 123456, "unknown": 0.02}],
}


def test_every_published_method_stands_beside_its_published_figures():
    precision, others, graded, _, _ = published_section(TABLES).tables
    assert precision.head == ["", "P@1", "paper", "P@3", "paper", "P@5", "paper"]
    assert precision.rows == [["ACG", ".500", ".567", ".450", "", ".400", ""]]
    assert others.rows == [["ACG", ".700", "", ".600", "", ".900", "", "1.000", ".993"]]
    assert graded.rows == [
        ["BERT_FT+Slice", ".500", ".640", ".250", ".160", ".150", ".110", ".100", ".090"]
    ]


def test_the_order_is_told_pair_by_pair_and_counted():
    section = published_section(TABLES)
    assert section.tables[3].rows == [
        ["BERT+e2e over BERT_FT+Slice", "P@1, D2", ".104", ".200 [.100, .300]", "yes"],
        ["BERT+e2e over BERT_FT+Slice", "P@1, D2", ".104", "−.200 [−.300, −.100]", "no"],
    ]
    assert "Of 2 pairs 1 stand as published, 1 the other way round, and 0" in section.text


def test_what_a_method_tells_of_itself_is_shown_as_far_as_it_does():
    section = published_section(TABLES)
    assert section.tables[4].rows == [["ACG", "41.50", "123,456", "0.020", "", ""]]
    without = published_section({**TABLES, "baselines": []})
    assert [table.caption for table in without.tables][-1] == "The published order"
