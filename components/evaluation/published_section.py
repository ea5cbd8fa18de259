"""Query recommendation beside the paper's Tables 3 and 5, and whether its order holds here."""

from components.evaluation.evaluate import GRADES
from components.evaluation.section import Row, Section, Table, Tables, interval
from components.evaluation.tables import COLUMNS, plain, share

PRECISION = ("p@1", "p@3", "p@5")
OTHERS = ("ss@1", "ss@5", "coverage", "repeats@1")
FACTS = {
    "seconds": "seconds",
    "parameters": "parameters",
    "unknown": "no label",
    "unk": "unknown word",
    "days_at_published_size": "days at the paper's size",
}
"""What a method tells of itself, and the heading."""


def published_section(tables: Tables) -> Section:
    """Make the section of a run whose members search, as those of the paper do."""
    rows = [row for row in tables["query_recommendation"] if "published" in row]
    suggested = [row for row in rows if row["dataset"] == "D2"]
    graded = [row for row in rows if row["dataset"] == "D3" and GRADES[0] in row]
    found = [
        _beside("Precision on D2, beside Table 3", PRECISION, suggested),
        _beside("Similarity, coverage, repeats on D2, beside Table 3", OTHERS, suggested),
        _beside("Grades on D3, beside Table 5", GRADES, graded),
        Table(
            "The published order",
            ["", "figure", "published", "here", "holds"],
            [
                [
                    f"{row['above']} over {row['below']}",
                    f"{COLUMNS.get(row['figure'], row['figure'])}, {row['dataset']}",
                    share(row["published"]),
                    interval(row, "difference", "low", "high"),
                    row["holds"],
                ]
                for row in tables["order"]
            ],
        ),
        Table(
            "Methods with a step of their own",
            ["", *FACTS.values()],
            [
                [row["method"], *(plain(row.get(name)) for name in FACTS)]
                for row in tables.get("baselines", [])
            ],
        ),
    ]
    held = [row["holds"] for row in tables["order"]]
    return Section(
        "Beside the published figures",
        "The paper's members, labels and sizes are others, so what can be compared is the order "
        "of its methods: each is held against the one that stands next below it in the paper, "
        f"with 95% intervals over members, or over labels for coverage (SC). Of {len(held)} pairs "
        f"{held.count('yes')} stand as published, {held.count('no')} the other way round, and "
        f"{held.count('open')} cannot be told apart. “No label” is the share of a method's first "
        "suggestions that are no label at all.",
        [table for table in found if table.rows],
        [],
        ("order", "baselines"),
    )


def _beside(caption: str, figures: tuple[str, ...], rows: list[Row]) -> Table:
    head = [cell for figure in figures for cell in (COLUMNS.get(figure, figure), "paper")]
    return Table(
        caption,
        ["", *head],
        [
            [
                row["method"],
                *(
                    share(told.get(figure))
                    for figure in figures
                    for told in (row, row["published"])
                ),
            ]
            for row in rows
        ],
        ours=("BERT_FT+Slice",),
    )
