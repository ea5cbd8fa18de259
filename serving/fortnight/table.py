"""Table 7 of a replayed fortnight: as text for a terminal, and as a page."""

from pathlib import Path

import jinja2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.evaluation.canvas import INK, SERIES, SOFT, canvas, svg
from components.experiments.metrics import metric
from components.experiments.result import Comparison
from components.files import whole_file
from serving.fortnight.findings import TABLE_7, Findings

NOTE = (
    "Percent more than control: clicks per request, all else per member; in brackets the 95% "
    "interval for one look. The paper's lifts are of changes to a finished product; here control "
    "is much weaker, so lifts are larger."
)


def print_table(findings: Findings, console: Console) -> None:
    """Print Table 7, what the guardrails did, and a verdict per experiment."""
    console.print(Text(f"A fortnight of {findings.days} days, {findings.requests:,} requests"))
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("use", "treatment", "metric"):
        table.add_column(name, no_wrap=True)
    table.add_column("percent more", justify="right", no_wrap=True)
    table.add_column("paper", justify="right", min_width=len("+1.35"), no_wrap=True)
    for row in findings.rows():
        paper = TABLE_7[row.analysis.service]
        beside = iter((paper.use, f"against {row.analysis.control}", ""))
        for name, found, published in (
            ("clicks", row.clicks, ""),
            ("applies", row.applies, f"{paper.applies:+.2f}"),
            ("PCH", row.pch, f"{paper.pch:+.2f}"),
        ):
            table.add_row(next(beside), row.variant, name, lift(found), published)
    console.print(table)
    console.print(Text(NOTE, style="dim"))
    for line in remarks(findings):
        console.print(Text(f"  {line}"))


def remarks(findings: Findings) -> list[str]:
    """Say what every experiment shows and what the guardrails stopped."""
    lines = [f"{analysis.experiment}: {analysis.verdict}" for analysis in findings.analyses]
    for stopped in findings.stopped:
        when = f"asked {sum(stopped.by_day):,} times, last on day {stopped.last_day}"
        lines.append(f"{stopped.experiment}: {stopped.variant} is at 0 % now; it was {when}")
    for service, (half, most) in sorted(findings.seconds.items()):
        lines.append(f"{service}: p50 {1000 * half:.1f} ms, p99 {1000 * most:.1f} ms")
    return lines


def write_page(findings: Findings, target: Path, *, pages: dict[str, str]) -> None:
    """Write Table 7 as one self-contained HTML file.

    Args:
        findings: of the fortnight.
        target: file to write.
        pages: address of each experiment's own page, by its name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["lift"] = lift
    with whole_file(target) as aside:
        aside.write_text(
            environment.get_template("table.html.j2").render(
                findings=findings,
                published=TABLE_7,
                note=NOTE,
                remarks=remarks(findings),
                pages=pages,
                plot=plot(findings),
                metric=metric,
            )
        )


def lift(found: Comparison | None) -> str:
    """Render a lift and its interval in percent."""
    if found is None:
        return ""
    if not found.enough:
        return "too few"
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * found.lift:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")


def plot(findings: Findings) -> str:
    """Draw the lifts of applies and PCH with their intervals, and the paper's beside them."""
    rows = [
        (f"{TABLE_7[row.analysis.service].use}: {row.variant}, {name}", found, published)
        for row in findings.rows()
        for name, found, published in (
            ("applies", row.applies, TABLE_7[row.analysis.service].applies),
            ("PCH", row.pch, TABLE_7[row.analysis.service].pch),
        )
        if found is not None and found.enough
    ]
    if not rows:
        return ""
    with canvas("table-7", 1, height=0.9 + 0.34 * len(rows)) as (figure, axes):
        axis = axes[0][0]
        for place, (_, found, published) in enumerate(reversed(rows)):
            sure = found.low > 0 or found.high < 0
            colour = SERIES[5] if sure else SOFT
            axis.plot([100 * found.low, 100 * found.high], [place] * 2, color=colour, linewidth=4)
            axis.plot([100 * found.lift], [place], color=INK, marker="o", markersize=5)
            axis.plot([published], [place], color=SERIES[6], marker="|", markersize=11)
        axis.axvline(0, color=SOFT, linewidth=0.8)
        axis.set_yticks(range(len(rows)), [name for name, _, _ in reversed(rows)])
        axis.grid(visible=False)
        axis.set(xlabel="percent more than control, 95% interval; bar: the paper's lift")
        return svg(figure, "table-7")
