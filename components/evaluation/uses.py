"""The tables of the uses of vectors and entities, from the steps that measured them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.audience.training import MEASURED as AUDIENCE
from components.candidates.training import MEASURED as CANDIDATES
from components.evaluation.context_tables import MEASURED as CONTEXTS
from components.evaluation.errors import EvaluationError
from components.evaluation.neighbours import MEASURED as NEIGHBOURS
from components.evaluation.ranking import MEASURED as RANKING
from components.hires.training import MEASURED as HIRES
from components.news.measure import MEASURED as NEWS

_AUDIENCE = {"rows": "audience", "differences": "audience_differences", "curve": "audience_curve"}
_CANDIDATES = {"rows": "candidates", "differences": "candidates_differences"}


def uses_of(
    *,
    ranking: Path,
    neighbours: Path,
    audience: Path,
    hires: Path,
    candidates: Path,
    news: Sequence[Path],
    contexts: Path,
    in_session: Path,
) -> dict[str, Any]:
    """Gather the tables of a run's uses; one that was not measured has an empty directory.

    Args:
        ranking: directory written by `measure_trained`.
        neighbours: directory written by `measure_neighbours`.
        audience: directory written by `train_audience`.
        hires: directory written by `train_hires`.
        candidates: directory written by `train_candidates`.
        news: directories written by `rank_news` and `study_news`; the first that holds something
            counts.
        contexts: directory written by `compare_contexts`.
        in_session: directory written by `compare_in_session`.

    Returns:
        Rows by table, as `sections` shows them.

    Raises:
        EvaluationError: a file is damaged; names it.
    """
    return {
        **_read(ranking / RANKING),
        **_read(neighbours / NEIGHBOURS),
        **_renamed(_read(audience / AUDIENCE), _AUDIENCE),
        **_read(hires / HIRES),
        **_renamed(_read(candidates / CANDIDATES), _CANDIDATES),
        **next((tables for path in news if (tables := _read(path / NEWS))), {}),
        **_read(contexts / CONTEXTS),
        **_read(in_session / CONTEXTS),
    }


def _renamed(tables: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names[name]: rows for name, rows in tables.items() if name in names}


def _read(path: Path) -> dict[str, Any]:
    if not any(path.parent.iterdir()):
        return {}
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: missing or damaged: {error}") from error
