"""One report of a run: JSON for other tools, tables for a terminal, a page to read."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.evaluation import plots
from components.evaluation.errors import EvaluationError
from components.evaluation.evaluate import GRADES, METHODS, NOTES, OURS
from components.evaluation.section import Section
from components.evaluation.sections import sections
from components.evaluation.tables import (
    COLUMNS,
    FLOORS,
    Row,
    datasets_of,
    graded,
    is_best,
    plain,
    share,
)

REPORT_JSON = "report.json"
REPORT_HTML = "report.html"
TEMPLATE = "report.html.j2"
SUGGESTION_TABLES = ("query_recommendation", "differences", "frequency", "order", "baselines")

_IMAGE_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}


class Suggestion(TypedDict):
    """A suggested search."""

    text: str
    score: float


class Trail(TypedDict):
    """A member's trail and what was suggested after it (Figure 2 and Table 4 of the paper).

    Attributes:
        member: who it is, as a heading: "Member m0042", "A visitor with three actions".
        sessions: rendered actions per session, such as `VIEW c_acme_inc data engineer`.
        suggestions: per surface, such as "Suggested job searches", best first.
        past: labels of the trail.
        truth: labels of the sessions that followed.
    """

    member: str
    sessions: list[list[str]]
    suggestions: dict[str, list[Suggestion]]
    past: list[str]
    truth: list[str]


class Figure(TypedDict):
    """A plot that another room drew."""

    path: str
    caption: str


class VectorMap(TypedDict):
    """What the map of members is drawn from.

    Attributes:
        vectors: title to float32 [n, d], the same members in each.
        groups: what a member is coloured by, [n]; None for one colour.
        group_name: what the groups are, such as "occupation".
    """

    vectors: Mapping[str, NDArray[np.float32]]
    groups: Sequence[str] | None
    group_name: str


def write_report(
    target: Path,
    *,
    recipe: str,
    tables: Mapping[str, Sequence[Row]],
    seed: int,
    facts: Mapping[str, int | str] | None = None,
    logs: Mapping[str, Path] | None = None,
    trails: Sequence[Trail] = (),
    vector_map: VectorMap | None = None,
    session_figures: Sequence[Figure] = (),
    shown: int = 5,
) -> None:
    """Write `report.json` and `report.html` into a directory.

    Args:
        target: an existing directory.
        recipe: name of the recipe.
        tables: rows by table. `query_recommendation` holds the `rows` of `evaluate`; its
            `differences` and `frequency` go into `differences` and `frequency`. Any other table,
            such as `sessions`, is shown with the columns that it has.
        seed: of the map.
        facts: sizes for the head of the page, in words and numbers: {"members": 8000}.
        logs: title to training log, JSON lines with `step`, `loss`, `validation_loss`.
        trails: members to show with their suggestions.
        vector_map: members to show by their vectors.
        session_figures: plots of the sessions, SVG or PNG.
        shown: suggestions that repeats, grades and label frequencies were taken over.

    Raises:
        EvaluationError: a log or a figure is missing or unreadable; names it.
    """
    report = {"recipe": recipe, "tables": {name: list(rows) for name, rows in tables.items()}}
    text = json.dumps(report, indent=1, ensure_ascii=False)
    rows, uses = tables.get("query_recommendation", []), sections(tables)
    shown_above = {*SUGGESTION_TABLES, *(name for section in uses for name in section.uses)}
    page = _template().render(
        recipe=recipe,
        facts=facts or {},
        headline=headline(rows),
        blocks=_blocks(rows, tables.get("differences", [])),
        columns=COLUMNS,
        grades=GRADES,
        graded=graded(rows),
        trails=trails,
        ours=OURS,
        shown=shown,
        plots=_plots(rows, tables, logs or {}, shown),
        speed=_speed(logs or {}),
        map=_map(vector_map, seed),
        session_figures=[
            {"image": _embedded(Path(figure["path"])), "caption": figure["caption"]}
            for figure in session_figures
        ],
        uses=[
            {
                "section": section,
                "figures": [(Markup(figure.draw()), figure.caption) for figure in section.figures],
            }
            for section in uses
        ],
        other_tables={
            name: rows for name, rows in tables.items() if name not in shown_above and rows
        },
        series=range(len(METHODS)),
    )
    (target / REPORT_JSON).write_text(text + "\n")
    (target / REPORT_HTML).write_text(page)


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the tables of a `report.json`, those of suggestions as the paper's Tables 3 and 5."""
    tables = report["tables"]
    uses = sections(tables)
    shown_elsewhere = {*SUGGESTION_TABLES, *(name for section in uses for name in section.uses)}
    for name, rows in tables.items():
        if rows and name not in shown_elsewhere:
            _print_plain(name, rows, console)
    rows = tables.get("query_recommendation", [])
    if rows:
        _print_suggestions(report["recipe"], rows, console)
        _print_grades(graded(rows), console)
    for section in uses:
        _print_section(section, console)


def headline(rows: Sequence[Row]) -> list[dict[str, str]]:
    """Choose the figures that say most: ours beside the best floor and the network end to end."""
    found = []
    for dataset, what in (("D1-new", "what is new to the member"), ("D2", "the whole trail")):
        block = {row["method"]: row for row in rows if row["dataset"] == dataset}
        if OURS in block:
            floor = max((m for m in FLOORS if m in block), key=lambda m: block[m]["p@1"])
            found.append(
                {
                    "figure": share(block[OURS]["p@1"]),
                    "name": f"precision at 1 on {what} ({dataset})",
                    "beside": f"best floor: {floor} {share(block[floor]['p@1'])}",
                }
            )
    block = {row["method"]: row for row in rows if row["dataset"] == "D2"}
    if {OURS, "BERT+e2e"} <= set(block):
        found.append(
            {
                "figure": f"{block[OURS]['coverage']:.0%}",
                "name": "of all labels are suggested to somebody (D2)",
                "beside": f"trained end to end: {block['BERT+e2e']['coverage']:.0%}",
            }
        )
    block = {row["method"]: row for row in graded(rows)}
    if OURS in block:
        figures = {method: row["perfect"] + row["good"] for method, row in block.items()}
        floor = max((m for m in FLOORS if m in block), key=lambda m: figures[m])
        found.append(
            {
                "figure": f"{figures[OURS]:.0%}",
                "name": f"perfect or good suggestions ({block[OURS]['dataset']})",
                "beside": f"best floor: {floor} {figures[floor]:.0%}",
            }
        )
    return found


def read_log(path: Path) -> list[dict[str, float]]:
    """Read a training log.

    Raises:
        EvaluationError: names the file and the line that is no log entry.
    """
    entries = []
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise EvaluationError(f"{path}: the training log cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            entries.append({"step": entry["step"], **entry})
        except (ValueError, TypeError, KeyError) as error:
            raise EvaluationError(f"{path}, line {number}: not a log entry") from error
    return entries


def _print_suggestions(recipe: str, rows: Sequence[Row], console: Console) -> None:
    table = Table(title=f"Suggested searches, {recipe}", box=None, padding=(0, 1, 0, 0))
    table.add_column("")
    columns = [key for key in COLUMNS if key != "repeats@1"]  # that fit into 80 characters
    for key in columns:
        table.add_column(COLUMNS[key], justify="right")
    for dataset in datasets_of(rows):
        block = [row for row in rows if row["dataset"] == dataset]
        members = block[0]["n"]
        table.add_row(Text(f"{dataset}, {members:,} members", style="bold cyan"))
        for row in block:
            cells = [
                Text(share(row.get(key)), style="bold" if is_best(row, block, key) else "")
                for key in columns
            ]
            table.add_row(
                f"  {row['method']}", *cells, style="dim" if row["method"] in FLOORS else ""
            )
    console.print(table)
    for dataset in ("D2", "D1-new"):
        if dataset in datasets_of(rows):
            console.print(Text(f"{dataset}: {NOTES[dataset]}", style="dim"))


def _print_plain(name: str, rows: Sequence[Row], console: Console) -> None:
    table = Table(title=name.replace("_", " ").capitalize(), box=None, padding=(0, 2, 0, 0))
    for key, value in rows[0].items():
        table.add_column(key, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(plain(row.get(key)) for key in rows[0]))
    console.print(table)


def _print_grades(rows: Sequence[Row], console: Console) -> None:
    if not rows:
        return
    table = Table(
        title=f"Grades of the suggestions, {rows[0]['dataset']}", box=None, padding=(0, 2, 0, 0)
    )
    table.add_column("")
    for grade in GRADES:
        table.add_column(grade.capitalize(), justify="right")
    for row in rows:
        table.add_row(f"  {row['method']}", *(share(row[grade]) for grade in GRADES))
    console.print(table)


def _print_section(section: Section, console: Console) -> None:
    for number, content in enumerate(section.tables):
        title = f"{section.title}: {content.caption}" if number == 0 else content.caption
        table = Table(title=title, box=None, padding=(0, 2, 0, 0))
        for place, heading in enumerate(content.head):
            table.add_column(heading, justify="left" if place == 0 else "right")
        for row in content.rows:
            style = "dim" if row[0] in content.floors else ""
            table.add_row(*row, style="bold" if row[0] in content.ours else style)
        console.print(table)
    console.print(Text(section.text, style="dim"))


def _blocks(rows: Sequence[Row], differences: Sequence[Row]) -> list[dict[str, Any]]:
    blocks = []
    for dataset in datasets_of(rows):
        block = [row for row in rows if row["dataset"] == dataset]
        behind = {row["against"]: row for row in differences if row["dataset"] == dataset}
        blocks.append(
            {
                "dataset": dataset,
                "note": NOTES.get(dataset, ""),
                "members": block[0]["n"],
                "rows": [
                    {
                        "method": row["method"],
                        "floor": row["method"] in FLOORS,
                        "cells": [
                            (share(row.get(key)), is_best(row, block, key)) for key in COLUMNS
                        ],
                        "difference": behind.get(row["method"]),
                    }
                    for row in block
                ],
            }
        )
    return blocks


def _plots(
    rows: Sequence[Row], tables: Mapping[str, Sequence[Row]], logs: Mapping[str, Path], shown: int
) -> dict[str, Markup]:
    found = {}
    datasets = [dataset for dataset in ("D2", "D1-new") if dataset in datasets_of(rows)]
    if datasets:
        found["coverage"] = plots.coverage_and_precision(rows, datasets)
        if tables.get("frequency"):
            found["frequency"] = plots.frequency_curves(tables["frequency"], datasets, shown=shown)
    if logs:
        found["loss"] = plots.loss_curves({title: read_log(path) for title, path in logs.items()})
    return {name: Markup(svg) for name, svg in found.items()}


def _speed(logs: Mapping[str, Path]) -> dict[str, float]:
    speeds = {}
    for title, path in logs.items():
        measured = [e["tokens_per_second"] for e in read_log(path) if e.get("tokens_per_second")]
        if measured:
            speeds[title] = float(np.median(measured))
    return speeds


def _map(content: VectorMap | None, seed: int) -> dict[str, Any] | None:
    if content is None:
        return None
    svg = plots.vector_maps(content["vectors"], content["groups"], seed=seed)
    if svg is None:
        return None
    groups = content["groups"]
    return {
        "svg": Markup(svg),
        "members": len(next(iter(content["vectors"].values()))),
        "group": content["group_name"],
        "chance": None if groups is None else plots.same_group_by_chance(groups),
        "neighbours": plots.NEIGHBOURS,
    }


def _embedded(path: Path) -> str:
    kind = _IMAGE_TYPES.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(_IMAGE_TYPES)
        raise EvaluationError(f"{path}: a figure must be one of {known}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{path}: the figure cannot be read ({error})") from error
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = share
    environment.filters["plain"] = plain
    environment.filters["action"] = _action_parts
    return environment.get_template(TEMPLATE)


def _action_parts(line: str) -> tuple[str, str, str]:
    action, _, text = line.partition(" ")
    company, _, rest = text.partition(" ")
    return (action, company, rest) if company.startswith("c_") else (action, "", text)
