"""LambdaMART on the same features: the peer that a neural ranker has to be read beside.

Source: Burges, From RankNet to LambdaRank to LambdaMART, 2010; as LightGBM implements it.
"""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.files import whole_directory
from components.progress import progress
from components.ranking.config import TreesConfig
from components.ranking.data import documents_of, has_gain
from components.ranking.errors import RankingError
from components.ranking.lists import Lists

ABOUT, TREES = "trees.json", "trees.txt"
FEATURES = ("continuous", "categorical")

logger = logging.getLogger(__name__)


def train_trees(lists: Path, target: Path, config: TreesConfig, *, seed: int) -> dict:
    """Boost trees on training members' lists, until validation members' lists gain no more.

    Writes `trees.txt` (LightGBM's own format) and `trees.json`, all or nothing. The same lists and
    seed make the same trees.

    Args:
        lists: directory written by `build_lists`; an empty one makes an empty target.
        target: directory to write.
        config: sizes.
        seed: of the draws of features and documents.

    Returns:
        {"trees": kept, "ndcg": on validation lists, None without any}; empty for empty lists.

    Raises:
        RankingError: no document of a training member has a gain.
    """
    if not any(lists.iterdir()):
        with whole_directory(target):
            return {}
    import lightgbm

    opened = Lists.open(lists)
    levels = np.unique(np.concatenate([[0], opened.gains]))
    training, validation = (
        side[has_gain(opened, side)] for side in map(opened.select, ("train", "validation"))
    )
    if not len(training):
        raise RankingError(f"{lists}: no list of a training member has a document with a gain")
    parameters = {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [config.topn],
        # LightGBM wants grades 0, 1, 2 ...: gains take their places, and keep their worth.
        "label_gain": (2.0**levels - 1).tolist(),
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.leaf_documents,
        "lambda_l2": config.l2,
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.document_share,
        "bagging_freq": 1,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": seed,
        "verbosity": -1,
    }
    watched: dict[str, Any] = {}
    if len(validation):
        watched = {"valid_sets": [_dataset(opened, validation, levels)]}
    with progress("trees", total=config.trees) as bar:
        callbacks = [lambda _: bar.advance()]
        if watched:
            callbacks.append(lightgbm.early_stopping(config.patience, verbose=False))
        data = _dataset(opened, training, levels)
        model = lightgbm.train(parameters, data, config.trees, callbacks=callbacks, **watched)
    kept = model.best_iteration or model.num_trees()
    scores = [float(ndcg) for side in model.best_score.values() for ndcg in side.values()]
    summary = {"trees": kept, "ndcg": scores[0] if scores else None}
    about = summary | {name: opened.about[name] for name in FEATURES}
    with whole_directory(target) as directory:
        model.save_model(directory / TREES, num_iteration=kept)
        about |= {"seed": seed, "config": config.model_dump()}
        (directory / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
    logger.info("trees kept=%d ndcg=%s", kept, summary["ndcg"])
    return summary


def score_trees(trees: Path, lists: Path, split: str) -> NDArray[np.float32]:
    """Score every document of a side's lists, in order.

    Args:
        trees: directory written by `train_trees`.
        lists: directory written by `build_lists`.
        split: "train", "validation" or "test".

    Returns:
        float32[documents].

    Raises:
        RankingError: trees that are missing or damaged, or lists of other features.
    """
    import lightgbm

    try:
        about = json.loads((trees / ABOUT).read_text())
        model = lightgbm.Booster(model_file=trees / TREES)
    except (OSError, ValueError, lightgbm.basic.LightGBMError) as error:
        raise RankingError(f"{trees}: not readable as trees: {error}") from error
    opened = Lists.open(lists)
    for name in FEATURES:
        if about.get(name) != opened.about[name]:
            raise RankingError(f"{lists}: {name} differ from those that {trees} was trained on")
    rows = documents_of(opened, opened.select(split))
    if not len(rows):
        return np.zeros(0, np.float32)
    return np.asarray(model.predict(_features(opened, rows), num_threads=1), np.float32)


def _dataset(lists: Lists, numbers: NDArray[np.int64], levels: NDArray[np.float32]) -> Any:
    import lightgbm

    rows = documents_of(lists, numbers)
    return lightgbm.Dataset(
        _features(lists, rows),
        np.searchsorted(levels, lists.gains[rows]),
        group=lists.offsets[numbers + 1] - lists.offsets[numbers],
        params={"verbosity": -1},
        free_raw_data=False,
    )


def _features(lists: Lists, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    # Codes are given as numbers: LightGBM's splits by category learn rare ones by heart, which
    # costs a hundredth of NDCG where thousands of titles share a few thousand gains.
    return np.hstack([lists.continuous[rows], lists.categorical[rows].astype(np.float32)])
