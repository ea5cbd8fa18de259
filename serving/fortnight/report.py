"""Table 7 in the report of the run whose members were replayed."""

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from components.errors import IntentError
from components.evaluation.config import EvaluationConfig
from components.evaluation.online_section import METRICS
from components.evaluation.whole_run import report_run
from components.experiments.result import Comparison
from components.files import whole_file
from serving.fortnight.errors import FortnightError
from serving.fortnight.findings import TABLE_7, Findings, Row

TABLE = "online"
FILES = ("report.json", "report.html")


def add_to_report(run: Path, findings: Findings) -> Path:
    """Draw a run's report anew, with what the fortnight found.

    Args:
        run: directory of a finished run, which keeps its steps' outputs.
        findings: of the fortnight.

    Returns:
        The page.

    Raises:
        FortnightError: the run's report cannot be drawn; names it. Nothing is changed then.
    """
    try:
        settings = yaml.safe_load((run / "recipe.yaml").read_text())
        tables = json.loads((run / FILES[0]).read_text())["tables"]
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder) / "report"
            report_run(
                drawn,
                recipe=settings["name"],
                measured=run / "evaluate" / "measured",
                sessions=run / "sessions" / "sessions",
                described=run / "session-report" / "described",
                uses=tables | {TABLE: rows_of(findings)},
                logs={
                    "Pre-training": run / "pretrain" / "encoder" / "log.jsonl",
                    "Fine-tuning": run / "finetune" / "encoder" / "log.jsonl",
                },
                shown=EvaluationConfig(**settings["evaluation"]).shown,
                seed=settings["seed"],
            )
            for name in FILES:
                with whole_file(run / name) as aside:
                    aside.write_bytes((drawn / name).read_bytes())
    except (OSError, ValueError, KeyError, IntentError) as error:
        raise FortnightError(f"{run}: its report cannot be drawn anew: {error}") from error
    return run / FILES[1]


def rows_of(findings: Findings) -> list[dict[str, Any]]:
    """Return Table 7 as rows of a report, lifts in percent; see `online_section`."""
    return [_row(row, findings) for row in findings.rows()]


def _row(row: Row, findings: Findings) -> dict[str, Any]:
    paper = TABLE_7[row.analysis.service]
    lifts: dict[str, float | None] = {}
    for metric in METRICS:
        found: Comparison | None = getattr(row, metric)
        told = found if found is not None and found.enough else None
        for suffix, field in (("", "lift"), ("_low", "low"), ("_high", "high")):
            lifts[f"{metric}{suffix}"] = None if told is None else 100 * getattr(told, field)
    return {
        "use": paper.use,
        "treatment": row.variant,
        "control": row.analysis.control,
        "days": findings.days,
        "requests": findings.requests,
        **lifts,
        "published_applies": paper.applies,
        "published_pch": paper.pch,
    }
