"""The tables of the uses of vectors and entities, from the steps that measured them."""

import json
from pathlib import Path
from typing import Any

from components.audience.training import MEASURED as AUDIENCE
from components.evaluation.errors import EvaluationError
from components.evaluation.neighbours import MEASURED as NEIGHBOURS
from components.evaluation.ranking import MEASURED as RANKING
from components.hires.training import MEASURED as HIRES

_AUDIENCE = {"rows": "audience", "differences": "audience_differences", "curve": "audience_curve"}


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
    expanded = _read(audience / AUDIENCE)
    return {
        **_read(ranking / RANKING),
        **_read(neighbours / NEIGHBOURS),
        **{_AUDIENCE[name]: rows for name, rows in expanded.items() if name in _AUDIENCE},
        **_read(hires / HIRES),
    }


def _read(path: Path) -> dict[str, Any]:
    if not any(path.parent.iterdir()):
        return {}
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: missing or damaged: {error}") from error
