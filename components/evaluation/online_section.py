"""What a report says of the simulated fortnight: the paper's Table 7."""

from components.evaluation.section import Row, Section, Table, Tables

METRICS = {"clicks": "clicks", "applies": "applies", "pch": "PCH"}
"""Columns of the table `online`, each with `_low` and `_high`, and their headings."""


def online_section(tables: Tables) -> Section:
    """Show every treatment's lifts beside those of the paper.

    Args:
        tables: with `online`: `use`, `treatment`, `control`, `days`, `requests`, lifts of METRICS
            in percent with their intervals or None, `published_applies`, `published_pch`.
    """
    rows = tables["online"]
    return Section(
        "Simulated A/B tests",
        f"Members of the generated marketplace replayed for {rows[0]['days']} days against what "
        f"was served to them, {rows[0]['requests']:,} requests. Lifts in percent against the "
        "control, clicks per request and the others per member, with 95% intervals for one look. "
        "The paper's lifts are of changes to a finished product; controls are much weaker here.",
        [
            Table(
                "Table 7: lifts in percent, and the paper's",
                ["", "treatment", "against", *METRICS.values(), "paper: applies", "paper: PCH"],
                [
                    [
                        row["use"],
                        row["treatment"],
                        row["control"],
                        *(_lift(row, metric) for metric in METRICS),
                        f"{row['published_applies']:+.2f}",
                        f"{row['published_pch']:+.2f}",
                    ]
                    for row in rows
                ],
            )
        ],
        [],
        ("online",),
    )


def _lift(row: Row, metric: str) -> str:
    if row[metric] is None:
        return "too few"
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    return f"{row[metric]:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")
