"""The news section of the report: Table 9 of the paper, beside what was measured here."""

from components.evaluation import use_plots
from components.evaluation.section import Figure, Section, Table, Tables, interval, percent
from components.evaluation.tables import plain, share
from components.news.config import COMBINATIONS
from components.news.measure import CLICKED, MEASURES, PUBLISHED_LOSSES, RANDOM

HEADS = {"auc": "AUC", "mrr": "MRR", "ndcg@5": "nDCG@5", "ndcg@10": "nDCG@10"}
LOSSES = {"mlm_loss": "masked words", "nsp_loss": "next sentence"}


def news_section(tables: Tables) -> Section:
    """Make the section of news recommendation from the tables of `rank_news`."""
    rows, differences = tables["mind"], tables["mind_differences"]
    measured = list(MEASURES.values())
    compared = [row for row in differences if row["measure"] == "auc"]
    parts = [
        Table(
            "Rankers on the same impressions, published figures below each (Table 9, on MIND)",
            ["", *(HEADS[measure] for measure in measured)],
            [line for row in rows for line in _lines(row, measured)],
            ours=[_braced(combination) for combination in COMBINATIONS],
            floors=(RANDOM, CLICKED),
        ),
        Table(
            "Differences in AUC on the same impressions",
            ["", "against", "difference", "percent", "published"],
            [
                [
                    _braced(row["method"]),
                    _braced(row["against"]),
                    interval(row, "difference", "low", "high"),
                    percent(row["percent"]),
                    share(row["published"]) if "published" in row else "",
                ]
                for row in compared
            ],
        ),
        Table(
            "Training of the rankers",
            ["", "lists", "steps", "best at", "steps a second", "peak memory, GB"],
            [
                [
                    _braced(row["combination"]),
                    *(
                        plain(row[key])
                        for key in ("lists", "steps", "best_step", "steps_per_second")
                    ),
                    plain(row["peak_memory"]),
                ]
                for row in rows
                if row["combination"] in COMBINATIONS
            ],
        ),
    ]
    if tables.get("mind_pretraining"):
        parts.append(_pretraining(tables))
    return Section(
        "News recommendation",
        f"Appendix A of the paper: {rows[0]['impressions']:,} impressions of the dev fold, ranked "
        "by a member’s vector u of what he had read and an item’s vector v, put together in three "
        "ways. Figures are those of MIND’s own script, averaged over impressions; the published "
        "ones are of MIND itself and not comparable with generated traffic. Equal scores are "
        "ranked at random. Intervals of 95% over impressions.",
        parts,
        [
            Figure(
                lambda: use_plots.lift_bars(
                    [
                        {
                            **row,
                            "method": _braced(row["method"]),
                            "against": _braced(row["against"]),
                            "figure": HEADS[row["measure"]],
                            "lift_percent": row["percent"],
                        }
                        for row in differences
                        if row["against"] in COMBINATIONS
                    ]
                ),
                "How the combinations compare; grey where the interval holds zero.",
            )
        ],
        ("mind", "mind_differences", "mind_pretraining"),
    )


def _lines(row, measured: list[str]) -> list[list[str]]:
    lines = [[_braced(row["combination"]), *(interval(row, measure) for measure in measured)]]
    if "published_auc" in row:
        lines.append(["published", *(share(row[f"published_{measure}"]) for measure in measured)])
    return lines


def _pretraining(tables: Tables) -> Table:
    (row,) = tables["mind_pretraining"]
    return Table(
        "Losses at the end of pre-training",
        ["", "here", "published"],
        [
            [LOSSES[name], plain(row[name]), plain(row[f"published_{name}"])]
            for name in PUBLISHED_LOSSES
        ],
    )


def _braced(name: str) -> str:
    """Write a combination as the paper does; a floor has no braces."""
    return f"{{{name}}}" if name in COMBINATIONS else name
