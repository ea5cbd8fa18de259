"""P(confirmed hire | application), opened from disk."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from components.features.specification import CONTINUOUS, CONTINUOUS_NAMES
from components.features.tables import Features
from components.files import digest
from components.hires.errors import HiresError

ABOUT, TREES = "model.json", "trees.txt"
# An application has the same probability whichever query led to it.
NAMES = [own.name for own in CONTINUOUS if not own.group.startswith("query")]
COLUMNS = [CONTINUOUS_NAMES.index(name) for name in NAMES]


class HireModel:
    """Boosted trees whose scores are calibrated to probabilities.

    Attributes:
        names: of the features that are read.
        about: how it was trained.
    """

    def __init__(self, trees: Any, about: dict[str, Any]):
        self.about, self.names = about, about["names"]
        self._trees = trees
        self._slope, self._offset = about["calibration"]

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open what `train_hires` wrote.

        Raises:
            HiresError: there is no model, with the reason, or a file is missing or damaged.
        """
        import lightgbm

        path = directory / ABOUT
        try:
            about = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise HiresError(f"{path}: missing or damaged: {error}") from error
        if "reason" in about:
            raise HiresError(f"{directory}: no model was trained: {about['reason']}")
        if about.get("names") != NAMES:
            raise HiresError(f"{path}: reads other features than this version computes")
        trees = directory / TREES
        try:
            if digest(trees) != about.get("digest"):
                raise HiresError(f"{trees}: damaged: it is not the file that was written")
        except OSError as error:
            raise HiresError(f"{trees}: missing: {error}") from error
        return cls(lightgbm.Booster(model_file=trees), about)

    def probability(self, features: Features) -> NDArray[np.float64]:
        """Return float64[n], the probability that each application leads to a confirmed hire.

        Args:
            features: of members and postings, from `FeatureTables.pairs`; a query changes nothing.
        """
        return calibrated(scores(self._trees, features.continuous), self._slope, self._offset)


def scores(trees: Any, continuous: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return float64[n], log-odds before calibration; `continuous` holds all features."""
    if not len(continuous):
        return np.zeros(0)
    return trees.predict(continuous[:, COLUMNS], raw_score=True, num_threads=1)


def calibrated(scores: NDArray[np.float64], slope: float, offset: float) -> NDArray[np.float64]:
    """Turn log-odds into probabilities: Platt's logistic curve."""
    return 1 / (1 + np.exp(-(slope * scores + offset)))
