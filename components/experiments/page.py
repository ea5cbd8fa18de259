"""The page of an analysis."""

from datetime import UTC, datetime
from pathlib import Path

from components.experiments import plots
from components.experiments.manifest import Experiment
from components.experiments.metrics import metric
from components.experiments.result import Analysis
from components.files import whole_file


def write_page(experiment: Experiment, analysis: Analysis, target: Path) -> None:
    """Write an analysis as one self-contained HTML file.

    Args:
        experiment: its manifest.
        analysis: of it.
        target: file to write.
    """
    with whole_file(target) as aside:
        aside.write_text(page(experiment, analysis))


def page(experiment: Experiment, analysis: Analysis) -> str:
    """Render an analysis as HTML."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["time"] = _time
    environment.filters["signed"] = lambda share: f"{100 * share:+.2f}".replace("-", "−")
    environment.filters["p"] = lambda p: "<0.0001" if p < 0.0001 else f"{p:.4f}"
    environment.filters["figure"] = lambda value: f"{value:,.4g}"
    return environment.get_template("analysis.html.j2").render(
        experiment=experiment,
        analysis=analysis,
        metric=metric,
        lifts=plots.lifts(analysis),
        looks=plots.looks(analysis),
    )


def _time(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M} UTC"
