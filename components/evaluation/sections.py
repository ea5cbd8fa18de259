"""What a report says about the uses of activity vectors: a section each, for page and terminal."""

from collections.abc import Callable

from components.audience.measure import ACTIVE, CHANCE, EXACT, EXPANDED, RANDOM, RERANKED
from components.evaluation import use_plots
from components.evaluation.candidates_section import candidates_section
from components.evaluation.context_section import in_session_section, long_contexts_section
from components.evaluation.news_section import news_section
from components.evaluation.online_section import online_section
from components.evaluation.published_section import published_section
from components.evaluation.ranking import AS_SHOWN, FIGURES, TOWER, TOWER_NO_HISTORY
from components.evaluation.section import (
    Figure,
    Row,
    Section,
    Table,
    Tables,
    interval,
    percent,
)
from components.evaluation.tables import plain, share
from components.features.specification import CATEGORICAL, CONTINUOUS, HISTORY_NAMES

COMPARED = {"recall": "recall", "precision": "precision", "liquidity_batch": "members reached"}
"""Measures of an audience whose differences are shown."""
AUDIENCE_PAIRS = {
    *((method, EXACT) for method in (*EXPANDED.values(), RERANKED)),
    (EXPANDED["mean"], RANDOM),
    (EXPANDED["mean"], EXPANDED["feedback"]),
    (RERANKED, CHANCE),
}
"""Audiences that are compared, of those that were measured."""


def sections(tables: Tables) -> list[Section]:
    """Make a section of each use that was measured."""
    return [make(tables) for name, make in _SECTIONS.items() if tables.get(name)]


def _ranking(tables: Tables) -> Section:
    rows, differences = tables["ranking"], tables["ranking_differences"]
    bands, ndcg = tables["ranking_frequency"], FIGURES["ndcg"]
    return Section(
        "Job-search ranking",
        f"Search pages of {rows[0]['lists']:,} searches that test members made after their "
        "vectors were taken, ranked anew. A page was shown in one order and looked at from the "
        f"top, which favours that order ({AS_SHOWN}); no ranker is told the place. Rankers read "
        f"{len(CONTINUOUS) + len(CATEGORICAL)} features; with “no history” they do without the "
        f"{len(HISTORY_NAMES)} that count by hand what the member did before, "
        "which is what the activity vector tells in its way. Intervals of 95% over searches.",
        [
            Table(
                "Rankers on the same searches",
                ["", *(name.upper() for name in FIGURES.values())],
                [
                    [row["method"], *(interval(row, name) for name in FIGURES.values())]
                    for row in rows
                ],
                ours=(TOWER, TOWER_NO_HISTORY),
                floors=(AS_SHOWN,),
            ),
            Table(
                "Differences on the same searches",
                ["", "against", "figure", "difference", "percent"],
                [
                    [
                        row["method"],
                        row["against"],
                        row["figure"].upper(),
                        interval(row, "difference", "low", "high"),
                        percent(row["lift_percent"]),
                    ]
                    for row in differences
                ],
                ours=(TOWER, TOWER_NO_HISTORY),
            ),
        ],
        [
            Figure(
                lambda: use_plots.lift_bars(differences),
                "What the vector's tower adds, and how the models compare; grey where the "
                "interval holds zero.",
            ),
            Figure(
                lambda: use_plots.ndcg_by_frequency(bands, ndcg),
                "Frequent and rare queries; 0 are queries that no training member had searched "
                "for.",
            ),
        ],
        ("ranking", "ranking_differences", "ranking_frequency"),
    )


def _audience(tables: Tables) -> Section:
    rows, curve = tables["audience"], tables["audience_curve"]
    differences = [
        row
        for row in tables["audience_differences"]
        if row["measure"] in COMPARED and (row["method"], row["against"]) in AUDIENCE_PAIRS
    ]
    return Section(
        "Audience expansion",
        f"Whom a posting's notification would go to, for {rows[0]['postings']:,} postings that "
        "test members applied to after their vectors were taken; right are those who applied to a "
        "posting with its title. Whoever names more members finds more of them, so beside the "
        "neighbours stand as many random and as many of the most active members. Members reached "
        "are those named by any of a night's postings, and of all of them. Intervals of 95% over "
        "postings.",
        [
            Table(
                "Audiences of the same postings",
                ["", "recall", "precision", "F1", "members reached", "of all", "median audience"],
                [
                    [
                        row["method"],
                        interval(row, "recall"),
                        share(row["precision"]),
                        share(row["f1"]),
                        plain(round(row["liquidity_batch"])),
                        plain(row["liquidity"]),
                        plain(row["per_posting"]),
                    ]
                    for row in rows
                ],
                ours=(RERANKED,),
                floors=(ACTIVE, RANDOM, CHANCE),
            ),
            Table(
                "Differences on the same postings",
                ["", "against", "figure", "difference", "percent"],
                [
                    [
                        row["method"],
                        row["against"],
                        COMPARED[row["measure"]],
                        _difference(row),
                        percent(None if row["relative"] is None else 100 * row["relative"]),
                    ]
                    for row in differences
                ],
            ),
        ],
        [
            Figure(
                lambda: use_plots.audience_curve(curve),
                "Recall by the size of the audience: nearest by each query vector, best by "
                "score, and as many others.",
            )
        ],
        ("audience", "audience_differences", "audience_curve"),
    )


def _neighbours(tables: Tables) -> Section:
    rows = tables["neighbours"]
    return Section(
        "Search for similar members",
        "Members drawn from the run look for their 10 nearest among the others: everyone "
        "compared, the paper's HNSW graph at growing efSearch, and our clusters, which look into "
        "a growing number of them.",
        [
            Table(
                "Recall and speed",
                ["", "width", "recall@10", "queries per CPU-second"],
                [
                    [
                        row["index"],
                        plain(row["width"]),
                        share(row["recall"]),
                        plain(round(row["queries_per_cpu_second"])),
                    ]
                    for row in rows
                ],
            )
        ],
        [Figure(lambda: use_plots.search_curve(rows), "Recall and speed by the effort.")],
        ("neighbours",),
    )


def _hires(tables: Tables) -> Section:
    rows, bins = tables["hires"], tables["hires_reliability"]
    row = rows[0]
    figures = [
        ("AUC", interval(row, "auc"), ".500"),
        ("log loss", interval(row, "log_loss"), share(row["log_loss_of_base_rate"])),
        ("Brier score", interval(row, "brier"), share(row["brier_of_base_rate"])),
        ("calibration error", interval(row, "ece"), ""),
        ("the same if every probability were right", share(row["ece_by_chance"]), ""),
        ("hired, predicted", share(row["predicted"]), ""),
        ("hired, observed", share(row["hired"]), ""),
    ]
    return Section(
        "Predicted confirmed hires",
        f"How likely an application ends in a confirmed hire, for {row['applications']:,} "
        "applications of test members that recruiters had time to answer. Experiments read its "
        "sum beside applications. Intervals of 95% over members.",
        [
            Table(
                "Calibrated model and base rate",
                ["", "model", "base rate"],
                [list(cells) for cells in figures],
            )
        ],
        [
            Figure(
                lambda: use_plots.reliability(bins),
                "Observed rate against predicted probability, bins of equal numbers, with 95% "
                "intervals of the observed rate.",
            )
        ],
        ("hires", "hires_reliability"),
    )


_SECTIONS: dict[str, Callable[[Tables], Section]] = {
    "order": published_section,
    "ranking": _ranking,
    "audience": _audience,
    "neighbours": _neighbours,
    "hires": _hires,
    "candidates": candidates_section,
    "long_contexts": long_contexts_section,
    "in_session": in_session_section,
    "mind": news_section,
    "online": online_section,
}


def _difference(row: Row) -> str:
    if row["measure"] != "liquidity_batch":
        return interval(row, "difference", "low", "high")
    value, *bounds = (f"{row[key]:+,.0f}" for key in ("difference", "low", "high"))
    return f"{value} [{', '.join(bounds)}]".replace("-", "−")
