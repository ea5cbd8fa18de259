"""What a report says about candidate selection: the paper's Table 6."""

from components.candidates.training import VIEWS
from components.evaluation.section import Section, Table, Tables, interval, percent
from components.evaluation.tables import plain, share

MEASURES = {"auc": "AUC", "f1": "F1"}


def candidates_section(tables: Tables) -> Section:
    """Make the section of `candidates` and `candidates_differences`."""
    rows, differences = tables["candidates"], tables["candidates_differences"]
    first = rows[0]
    ours = [row["method"] for row in rows if row["published_auc_percent"] is not None]
    return Section(
        "Candidate selection",
        f"{first['pairs']:,} pairs of {first['members']:,} test members and postings: every "
        "posting that a recommendation page showed after the member's cut, and postings drawn at "
        f"random, {first['applied']:,} of them applied to afterwards. Each member's clauses are "
        "those of his cut; weights and the threshold of F1 are learnt of validation members. The "
        "baseline reads, like the paper's, the profile and explicit actions (searched, saved, "
        "applied); the vectors have seen views as well, so beside stands what the views add when "
        "they are counted by hand, and what entities add to that. SANNS expands a posting to "
        "members like its first applicants. Recall is the share of later applications, from any "
        "page, among the 100 and 500 best postings of the whole catalogue; retrieved are postings "
        "that match any clause. Intervals of 95% over members.",
        [
            Table(
                "Variants on the same pairs (Table 6)",
                ["", "AUC", "F1", "prec.", "recall", "retrieved", "rec.@100", "rec.@500"],
                [
                    [
                        row["method"],
                        *(interval(row, measure) for measure in MEASURES),
                        *(share(row[name]) for name in ("precision", "recall")),
                        plain(row["retrieved"]),
                        *(share(row[name]) for name in ("recall_100", "recall_500")),
                    ]
                    for row in rows
                ],
                ours=ours,
                floors=[row["method"] for row in rows if row["method"].startswith(VIEWS)],
            ),
            Table(
                "Differences on the same pairs",
                ["", "against", "figure", "difference", "percent", "published"],
                [
                    [
                        row["method"],
                        row["against"],
                        MEASURES[row["measure"]],
                        interval(row, "difference", "low", "high"),
                        percent(row["percent"]),
                        percent(row["published"]),
                    ]
                    for row in differences
                ],
                ours=ours,
            ),
        ],
        [],
        ("candidates", "candidates_differences"),
    )
