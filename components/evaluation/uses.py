"""The tables of the uses of vectors and entities, from the steps that measured them."""

import json
from pathlib import Path
from typing import Any

from components.evaluation.errors import EvaluationError
from components.evaluation.neighbours import MEASURED as NEIGHBOURS
from components.evaluation.ranking import MEASURED as RANKING

AUDIENCE, HIRES = "measured.json", "pch.json"


def uses_of(*, ranking: Path, neighbours: Path, audience: Path, hires: Path) -> dict[str, Any]:
    """Gather the tables of a run's uses; one that was not measured has an empty directory.

    Args:
        ranking: directory written by `measure_trained`.
        neighbours: directory written by `measure_neighbours`.
        audience: directory written by `train_audience`.
        hires: directory written by `train_hires`.

    Returns:
        Rows by table, as `sections` shows them.

    Raises:
        EvaluationError: a file is damaged; names it.
    """
    found = _read(audience / AUDIENCE)
    hired = _read(hires / HIRES)
    return {
        **_read(ranking / RANKING),
        **_read(neighbours / NEIGHBOURS),
        **{
            f"audience_{name}" if name != "rows" else "audience": rows
            for name, rows in found.items()
            if isinstance(rows, list)
        },
        **hired,
    }


def _read(path: Path) -> dict[str, Any]:
    if not any(path.parent.iterdir()):
        return {}
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: missing or damaged: {error}") from error
