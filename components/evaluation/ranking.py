"""How well job searches are ranked: the tables and bands of the ranking section of the report."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.evaluation.config import EvaluationConfig
from components.evaluation.errors import EvaluationError
from components.evaluation.evaluate import frequency_bands
from components.evaluation.lists import ListFigures, list_figures
from components.evaluation.metrics import difference_interval, mean_interval
from components.files import whole_directory
from components.ranking.lists import Lists

MEASURED = "ranking.json"
TOP = 25
AS_SHOWN, TREES, BASE, TOWER = "as shown", "LambdaMART", "TF-Ranking", "TF-Ranking + vector"
BASE_NO_HISTORY, TOWER_NO_HISTORY = "no history", "no history + vector"
COMPARED = (
    (TOWER, BASE),
    (TOWER_NO_HISTORY, BASE_NO_HISTORY),
    (BASE, BASE_NO_HISTORY),
    (TOWER, TREES),
    (BASE, TREES),
    (TREES, AS_SHOWN),
)
FIGURES = {"ndcg": f"ndcg@{TOP}", "auc": "auc", "mrr": "mrr"}
NEVER_SEARCHED = "0"

logger = logging.getLogger(__name__)


def measure_trained(
    lists: Path,
    vectors: Path,
    *,
    trees: Path,
    rankers: Mapping[str, Path],
    target: Path,
    config: EvaluationConfig,
    seed: int,
) -> dict[str, list[dict]]:
    """Measure what a run trained; see `measure_ranking`.

    Args:
        lists: directory written by `build_lists`; an empty one has nothing to measure.
        vectors: directory written by `embed_examples`.
        trees: directory written by `train_trees`.
        rankers: method to directory written by `train_ranker`.
        target: directory to write; left empty likewise.
        config: resamples of the intervals.
        seed: of the intervals, and of the order among equal scores.
    """
    if not any(lists.iterdir()):
        with whole_directory(target):
            return {}
    from components.ranking.scorer import score_lists
    from components.ranking.trees import score_trees

    scores = {TREES: score_trees(trees, lists, "test")} | {
        method: score_lists(ranker, lists, vectors, "test") for method, ranker in rankers.items()
    }
    return measure_ranking(Lists.open(lists), scores, target, config, seed=seed)


def measure_ranking(
    lists: Lists,
    scores: Mapping[str, NDArray[np.float32]],
    target: Path,
    config: EvaluationConfig,
    *,
    seed: int,
) -> dict[str, list[dict]]:
    """Measure rankers on the lists of test members, beside the order the pages were shown in.

    Args:
        lists: of all members.
        scores: method to the scores of the test lists' documents, in order.
        target: directory to write `ranking.json` into; all or nothing.
        config: resamples of the intervals.
        seed: of the intervals, and of the order among equal scores.

    Returns:
        What is written, the tables `ranking` (NDCG@25, AUC and MRR with 95% intervals over
        lists), `ranking_differences` (pairwise, with intervals) and `ranking_frequency` (NDCG@25
        by how often training members had searched for the query).

    Raises:
        EvaluationError: scores do not fit the test lists, or no test list has any gain.
    """
    test = lists.select("test")
    sizes = np.diff(lists.offsets)[test]
    offsets = np.append(0, np.cumsum(sizes))
    documents = np.repeat(lists.offsets[test] - offsets[:-1], sizes) + np.arange(offsets[-1])
    gains = lists.gains[documents]
    as_shown = -(np.arange(len(documents)) - np.repeat(offsets[:-1], sizes)).astype(np.float32)
    figures = {}
    for method, own in {AS_SHOWN: as_shown, **scores}.items():
        if own.shape != gains.shape:
            raise EvaluationError(
                f"{method} scored {list(own.shape)} documents, the test lists have "
                f"{list(gains.shape)}"
            )
        figures[method] = list_figures(own, gains, offsets, k=TOP, seed=seed)
    if not np.isfinite(figures[AS_SHOWN].ndcg).any():
        raise EvaluationError("no test list has a document with any gain: nothing to measure")
    result = {
        "ranking": [_row(method, own, config, seed) for method, own in figures.items()],
        "ranking_differences": _differences(figures, config, seed),
        "ranking_frequency": _by_frequency(figures, lists.frequency[test]),
    }
    with whole_directory(target) as directory:
        (directory / MEASURED).write_text(json.dumps(result, indent=1) + "\n")
    logger.info("ranking measured lists=%d methods=%d", len(test), len(figures))
    return result


def _row(method: str, figures: ListFigures, config: EvaluationConfig, seed: int) -> dict:
    row: dict = {"method": method}
    for key, name in FIGURES.items():
        own = getattr(figures, key)
        defined = own[np.isfinite(own)]
        if len(defined):
            mean, low, high = mean_interval(defined, resamples=config.resamples, seed=seed)
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return row | {"lists": int(np.isfinite(figures.ndcg).sum())}


def _differences(
    figures: Mapping[str, ListFigures], config: EvaluationConfig, seed: int
) -> list[dict]:
    """What the tower adds, and how the models stand beside each other."""
    rows = []
    for ours, theirs in COMPARED:
        if ours not in figures or theirs not in figures:
            continue
        for key, name in FIGURES.items():
            first, second = getattr(figures[ours], key), getattr(figures[theirs], key)
            defined = np.isfinite(first)
            if not defined.any():
                continue
            mean, low, high = difference_interval(
                first[defined], second[defined], resamples=config.resamples, seed=seed
            )
            base = float(second[defined].mean())
            rows.append(
                {
                    "method": ours,
                    "against": theirs,
                    "figure": name,
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "lift_percent": 100 * mean / base if base else None,
                }
            )
    return rows


def _by_frequency(figures: Mapping[str, ListFigures], counts: NDArray[np.int64]) -> list[dict]:
    bands = {NEVER_SEARCHED: (0, 1), **frequency_bands(int(counts.max()))}
    rows = []
    for method, own in figures.items():
        for band, (low, high) in bands.items():
            inside = (counts >= low) & (counts < high) & np.isfinite(own.ndcg)
            if inside.any():
                rows.append(
                    {
                        "method": method,
                        "band": band,
                        FIGURES["ndcg"]: float(own.ndcg[inside].mean()),
                        "lists": int(inside.sum()),
                    }
                )
    return rows
