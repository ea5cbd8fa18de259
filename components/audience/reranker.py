"""Re-ranking: how likely a candidate is to apply to a posting of this title.

What it learns from is how near the candidate is and what makes him an exact match, and the features
that ranking uses for member and posting. The encoder was fine-tuned on what training members did
next, so their vectors know the answer: it learns from validation members alone, in folds that
score each other wherever a choice depends on its scores.
"""

import json
import logging
from pathlib import Path
from typing import NamedTuple, Self

import lightgbm
import numpy as np
from numpy.typing import NDArray

from components.audience.config import AudienceConfig
from components.audience.errors import AudienceError
from components.audience.retrieval import Pool
from components.features.specification import CONTINUOUS
from components.features.tables import FeatureTables

MODEL, ABOUT = "reranker.txt", "reranker.json"
FOLDS = 5
SHARED = frozenset(
    feature.name
    for feature in CONTINUOUS
    if feature.group == "member x posting"
    and "query" not in feature.name
    and "days" not in feature.name
)
"""Of the shared features, what ties a member to a posting. Left out is what says when he was last
seen, since he is asked when a posting comes and not when he does, and how popular the posting is,
since it was drawn because somebody applied."""
OWN = (
    "similarity",
    "rank",
    "exact",
    "exact: applications",
    "exact: predicted search",
    "exact: predicted posting",
    "exact: headline",
)

logger = logging.getLogger(__name__)


def feature_names(tables: FeatureTables) -> tuple[str, ...]:
    """Return the names of the features of a candidate, in order."""
    return (*OWN, *(name for name in tables.continuous if name in SHARED))


def candidate_features(
    pool: Pool,
    tables: FeatureTables,
    *,
    members: NDArray[np.int64],
    postings: NDArray[np.int64],
    ts: NDArray[np.int64],
    neighbours: int,
) -> NDArray[np.float32]:
    """Return what is known of candidates, float32 [m, len(feature_names(tables))].

    Args:
        pool: the candidates.
        tables: features that are shared with ranking.
        members: of each candidate, rows of the tables.
        postings: of each candidate, rows of the tables.
        ts: when each is asked about, microseconds UTC.
        neighbours: most that were retrieved, the rank of who is no neighbour.
    """
    rank = np.where(pool.rank < 0, neighbours, pool.rank)
    own = (
        pool.similarity,
        np.log1p(rank),
        pool.exact,
        np.log1p(pool.applied),
        pool.searched,
        pool.posted,
        pool.headline,
    )
    shared = [number for number, name in enumerate(tables.continuous) if name in SHARED]
    no_query: tuple[list[str], NDArray[np.int64]] = ([], np.full(len(members), -1, np.int64))
    pairs = tables.pairs(members, postings, no_query, ts).continuous[:, shared]
    return np.column_stack([*own, pairs]).astype(np.float32)


class Training(NamedTuple):
    """Candidates of validation members' postings, and who applied.

    Attributes:
        x: features, float32 [m, f].
        applied: bool [m].
        member: of each candidate, int64 [m]; what a member did is never split over folds.
        exact: bool [m], who is an exact match.
    """

    x: NDArray[np.float32]
    applied: NDArray[np.bool_]
    member: NDArray[np.int64]
    exact: NDArray[np.bool_]


class Reranker:
    """Scores candidates, and says from which score on they are notified.

    Attributes:
        names: of the features, in order.
        threshold: least score of who is notified.
    """

    def __init__(self, booster: lightgbm.Booster, names: tuple[str, ...], threshold: float):
        self._booster, self.names, self.threshold = booster, names, threshold

    @classmethod
    def train(
        cls, training: Training, names: tuple[str, ...], config: AudienceConfig, *, seed: int
    ) -> Self:
        """Learn who applies, and the threshold of the largest audience as precise as exact matches.

        A precision is compared rather than named, because it depends on how many could apply at
        all.

        Args:
            training: of validation members.
            names: of the features.
            config: trees.
            seed: of the trees and the folds.
        """
        scores = _score_each_other(training, config, seed)
        threshold = _as_precise(scores, training.applied, training.exact)
        booster = _fit(training.x, training.applied, config, seed)
        logger.info(
            "reranker candidates=%d applied=%d threshold=%.4f",
            len(training.x),
            training.applied.sum(),
            threshold,
        )
        return cls(booster, names, threshold)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability that each candidate applies, float32 [m]."""
        if not len(x):
            return np.zeros(0, np.float32)
        return np.asarray(self._booster.predict(x, num_threads=1), np.float32)

    def save(self, directory: Path) -> None:
        """Write the model into a directory that exists."""
        (directory / MODEL).write_text(self._booster.model_to_string())
        about = {"features": self.names, "threshold": self.threshold}
        (directory / ABOUT).write_text(json.dumps(about, indent=1) + "\n")

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            AudienceError: a file is missing or damaged; names it.
        """
        try:
            about = json.loads((directory / ABOUT).read_text())
            booster = lightgbm.Booster(model_str=(directory / MODEL).read_text())
            model = cls(booster, tuple(about["features"]), float(about["threshold"]))
        except (OSError, ValueError, KeyError, TypeError, lightgbm.basic.LightGBMError) as error:
            raise AudienceError(f"{directory}: no readable re-ranker: {error!r}") from error
        if booster.num_feature() != len(model.names):
            raise AudienceError(
                f"{directory / MODEL}: takes {booster.num_feature()} features, {ABOUT} names "
                f"{len(model.names)}"
            )
        return model


def _as_precise(
    scores: NDArray[np.float64], applied: NDArray[np.bool_], exact: NDArray[np.bool_]
) -> float:
    order = np.argsort(-scores, kind="stable")
    precision = np.cumsum(applied[order]) / np.arange(1, len(order) + 1)
    wanted = applied[exact].mean() if exact.any() else 0.0
    enough = np.flatnonzero(precision >= wanted)
    return float(scores[order[enough[-1] if len(enough) else 0]])


def _score_each_other(training: Training, config: AudienceConfig, seed: int) -> NDArray[np.float64]:
    members, own = np.unique(training.member, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(members))[own] % FOLDS
    scores = np.zeros(len(training.x))
    for number in range(FOLDS):
        held = fold == number
        if held.any() and training.applied[~held].any():
            booster = _fit(training.x[~held], training.applied[~held], config, seed)
            scores[held] = np.asarray(booster.predict(training.x[held], num_threads=1))
    return scores


def _fit(
    x: NDArray[np.float32], applied: NDArray[np.bool_], config: AudienceConfig, seed: int
) -> lightgbm.Booster:
    # Few applications to learn from: small trees, much shrinkage.
    parameters = {
        "objective": "binary",
        "num_leaves": 8,
        "learning_rate": 0.05,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
    return lightgbm.train(parameters, lightgbm.Dataset(x, applied), config.trees)
