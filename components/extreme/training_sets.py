"""Slices trained on each data set's labels, and which of them predicts what.

D1-new has few labels per member: where data are scarce, a Slice of all labels (D2) finds more of
them, where data are plenty its own does. So each data set is predicted by the Slice that is most
precise at 5 on validation members; D3 by that of D2.
"""

import json
import logging
from pathlib import Path

import numpy as np

from components.extreme.config import SliceConfig
from components.extreme.slice import Slice, train_slice
from components.files import whole_directory
from components.labels.examples import Examples

TRAINING_SETS = ("D1", "D1-new", "D2")
SURFACES = {"any": "D2", "explore": "D1-new"}
"""The data set whose labels a surface predicts: any, or those that the past does not hold."""

CHOSEN = "chosen.json"
CUTOFF = 5

logger = logging.getLogger(__name__)


def train_slices(
    vectors: np.ndarray, examples: Examples, target: Path, config: SliceConfig, *, seed: int
) -> dict[str, str]:
    """Train a Slice per data set and choose which predicts which; all or nothing.

    Args:
        vectors: of all examples, float32[n, d].
        examples: contexts and labels.
        target: directory to write: a model per training set, and `chosen.json`.
        config: of every Slice.
        seed: likewise.

    Returns:
        Data set to the training set whose Slice predicts it.
    """
    models = {}
    for name in TRAINING_SETS:
        rows, labels = examples.select(name, "train")
        if len(rows):
            models[name] = train_slice(vectors[rows], labels, config, seed=seed)
    chosen = {name: _most_precise(models, vectors, examples, name) for name in TRAINING_SETS}
    chosen["D3"] = chosen["D2"]
    with whole_directory(target) as directory:
        for name, model in models.items():
            model.save(directory / name)
        (directory / CHOSEN).write_text(json.dumps(chosen, indent=1) + "\n")
    logger.info("slices chosen=%s", chosen)
    return chosen


def load_slices(directory: Path) -> dict[str, Slice]:
    """Map data set to the Slice that predicts it."""
    chosen = json.loads((directory / CHOSEN).read_text())
    models = {name: Slice.load(directory / name) for name in set(chosen.values())}
    return {dataset: models[name] for dataset, name in chosen.items()}


def _most_precise(
    models: dict[str, Slice], vectors: np.ndarray, examples: Examples, dataset: str
) -> str:
    rows, labels = examples.select(dataset, "validation")
    if not len(rows):
        return dataset if dataset in models else next(reversed(models))
    exclude = examples.past_to_exclude(dataset, rows)
    cutoff = min(CUTOFF, labels.shape[1])

    def hits(name: str) -> int:
        found, _ = models[name].predict(vectors[rows], cutoff, exclude=exclude)
        right = labels[np.arange(len(rows))[:, None], np.maximum(found, 0)].toarray()
        return int(np.count_nonzero(right * (found >= 0)))

    return max(models, key=hits)
