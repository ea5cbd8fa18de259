"""What the report says about the context of a vector: how long a one, and how recent."""

from components.evaluation.context_tables import (
    BOTH,
    CHUNKS,
    CUTOFFS,
    DAILY,
    LONG,
    NEW,
    NEWEST,
    ONE_PASS,
    RECENT,
)
from components.evaluation.section import Row, Section, Table, Tables, interval
from components.evaluation.tables import plain, share


def long_contexts_section(tables: Tables) -> Section:
    """Show what chunking a long context costs and gains."""
    rows, costs = tables["long_contexts"], tables["long_contexts_cost"]
    longest = max(row["n"] for row in rows if row["members"] == LONG)
    columns = [f"p@{k}" for k in CUTOFFS]
    return Section(
        "Long contexts",
        "The paper encodes each of a member's five most recent chunks alone and averages their "
        "vectors. Here the same encoder also reads them in one pass, each subword attending to its "
        "neighbours and to [CLS], and the newest chunk alone. Each way has Slices of its own. For "
        "members with one chunk all are the same; "
        f"up to {longest:,} test members have more. Intervals of 95% over members.",
        [
            Table(
                "Precision by context",
                ["", "data set", "members", *(name.upper() for name in columns), "n"],
                [
                    [
                        row["method"],
                        row["dataset"],
                        row["members"],
                        *(interval(row, name) for name in columns),
                        plain(row["n"]),
                    ]
                    for row in rows
                ],
                ours=(ONE_PASS,),
                floors=(NEWEST,),
            ),
            Table(
                f"Differences on the same members, {LONG}",
                ["", "against", "data set", "figure", "difference"],
                [
                    [
                        row["method"],
                        row["against"],
                        row["dataset"],
                        row["figure"].upper(),
                        interval(row, "difference", "low", "high"),
                    ]
                    for row in tables["long_contexts_differences"]
                    if row["members"] == LONG
                ],
                ours=(ONE_PASS,),
            ),
            Table(
                f"What {costs[0]['contexts']:,} contexts of {LONG} cost on CPU",
                ["", "CPU seconds", "subwords", "subwords per CPU-second", f"cosine to {CHUNKS}"],
                [
                    [
                        row["method"],
                        plain(row["seconds"]),
                        plain(row["subwords"]),
                        plain(round(row["tokens_per_second"])),
                        share(row["cosine"]),
                    ]
                    for row in costs
                ],
                ours=(ONE_PASS,),
            ),
        ],
        [],
        ("long_contexts", "long_contexts_differences", "long_contexts_cost"),
    )


def in_session_section(tables: Tables) -> Section:
    """Show what vectors of the last few actions tell of the next."""
    rows = tables["in_session"]
    return Section(
        "In-session vectors",
        f"What test members did next, at {rows[0]['n']:,} moments inside sessions of their target "
        f"period ({rows[0]['members']:,} members): the entity of the next action, where it is a "
        "known label. A daily run knows the sessions before the day; an in-session vector is of "
        f"the last few actions alone. “{NEW}” are moments whose entity the trail does not hold; "
        "there, past labels are excluded. All rank by the run's Slices; which of them, and the "
        f"weights of “{BOTH}”, were chosen on validation members. HIT@1 is P@1. Intervals of 95% "
        "over members.",
        [
            Table(
                "The next action's entity among the first suggestions",
                ["", "next", *(name.upper() for name in _figures(rows[0])), "n"],
                [
                    [
                        row["method"],
                        row["next"],
                        *(interval(row, name) for name in _figures(row)),
                        plain(row["n"]),
                    ]
                    for row in rows
                ],
                floors=(RECENT, DAILY),
            ),
            Table(
                f"Differences from the {DAILY} on the same members",
                ["", "next", "figure", "difference"],
                [
                    [
                        row["method"],
                        row["next"],
                        row["figure"].upper(),
                        interval(row, "difference", "low", "high"),
                    ]
                    for row in tables["in_session_differences"]
                ],
                floors=(RECENT,),
            ),
        ],
        [],
        ("in_session", "in_session_differences"),
    )


def _figures(row: Row) -> list[str]:
    return [name for name in row if f"{name}_low" in row]
