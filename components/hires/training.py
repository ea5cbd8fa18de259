"""Train and calibrate P(confirmed hire | application), and measure it on test members.

Source: paper, sections 5 and 6, "predicted confirmed hires" (PCH): the metric that experiments read
beside applications, because applications alone say nothing about their fate.
"""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.activity.split import TEST, TRAIN, VALIDATION
from components.features.tables import FeatureTables, has_tables
from components.files import digest, whole_directory
from components.hires.applications import Applications, read_applications, response_files
from components.hires.config import HiresConfig
from components.hires.measure import (
    Measure,
    auc,
    brier,
    calibration_error,
    calibration_error_by_chance,
    log_loss,
    reliability,
    with_intervals,
)
from components.hires.model import ABOUT, COLUMNS, NAMES, TREES, calibrated, scores

MEASURED = "pch.json"
_PATIENCE = 50

logger = logging.getLogger(__name__)


class _Fitted(NamedTuple):
    """Trees on all training members, and the scores of them by trees that had not seen them."""

    trees: Any
    rounds: int
    held_out: NDArray[np.float64]


def train_hires(
    feed: Path,
    sessions: Path,
    features: Path,
    examples: Path,
    target: Path,
    config: HiresConfig,
    *,
    seed: int,
) -> dict[str, Any]:
    """Learn from the applications of training members' target periods; all or nothing.

    Applications that are too young to have been answered are left out (`read_applications`), and
    features are those of each member's cut, before any of the applications. Boosting rounds are
    chosen by folds of training members. The scores are calibrated by Platt's curve, fitted on what
    folds said of members they had not seen and on validation members. On the quickstart's data,
    over 8 draws of members, that gave a log loss of .4035 against .4112 on validation members
    alone (about 240 applications), and .4328 by an isotonic curve on them.

    Writes `trees.txt` and `model.json` (see `HireModel`), and `pch.json`: the tables `hires`, one
    row of figures on test members with 95% intervals over members, and `hires_reliability`. A run
    with fewer hires than a model can be learnt from, such as one of a very small recipe, is not an
    error: its tables are empty, and `HireModel.open` says why there is no model.

    Args:
        feed: directory whose `responses` hold recruiters' answers.
        sessions: directory of session parts.
        features: tables built by `build_tables` with these examples.
        examples: directory written by `build_examples`.
        target: directory to write; empty if the feed has no responses or there are no tables.
        config: which applications, and the size of the model.
        seed: of folds, trees and intervals.

    Returns:
        The row of figures; empty when there is no model.

    Raises:
        HiresError: a file of responses is damaged; names it.
        FeaturesError: a file of the tables is damaged; names it.
    """
    with whole_directory(target) as directory:
        if not has_tables(features) or not response_files(feed):
            return {}
        applications = read_applications(feed, sessions, examples, horizon_days=config.horizon_days)
        reason = _too_few(applications, config)
        if reason:
            logger.warning("no model of hires: %s", reason)
            _write(directory, {"reason": reason}, [], [])
            return {}
        tables = FeatureTables.open(features)
        continuous = tables.pairs(
            tables.member_rows(applications.member_ids),
            tables.posting_rows(applications.item_ids),
            ([], np.full(len(applications), -1)),
            applications.ts,
        ).continuous
        row, bins = _train(directory, applications, continuous, config, seed)
    logger.info("hires auc=%s log_loss=%s", row["auc"], row["log_loss"])
    return row


def _too_few(applications: Applications, config: HiresConfig) -> str | None:
    hired = applications.hired[applications.split == TRAIN]
    fewer = min(int(hired.sum()), int((~hired).sum()))
    if fewer < config.minimum_hires:
        return (
            f"of {len(hired)} applications of training members that had {config.horizon_days:g} "
            f"days to be answered, {int(hired.sum())} led to a confirmed hire; "
            f"minimum_hires={config.minimum_hires} of either kind are needed"
        )
    if not (applications.split == TEST).any():
        return "no test member has an application that had time to be answered"
    return None


def _train(
    directory: Path,
    applications: Applications,
    continuous: NDArray[np.float32],
    config: HiresConfig,
    seed: int,
) -> tuple[dict[str, Any], list[dict]]:
    hired, split = applications.hired, applications.split
    train, validation, test = (split == side for side in (TRAIN, VALIDATION, TEST))
    fitted = _fit(continuous[train], hired[train], applications.member[train], config, seed)
    unseen = np.concatenate([fitted.held_out, scores(fitted.trees, continuous[validation])])
    curve = _platt(unseen, np.concatenate([hired[train], hired[validation]]))
    predicted = calibrated(scores(fitted.trees, continuous[test]), *curve)

    def gap(probability: NDArray[np.float64], happened: NDArray[np.bool_]) -> float:
        return calibration_error(probability, happened, config.bins)

    measures: dict[str, Measure] = {"auc": auc, "log_loss": log_loss, "brier": brier, "ece": gap}
    base = np.full(int(test.sum()), hired[train].mean())
    row = {
        "applications": int(test.sum()),
        "members": len(np.unique(applications.member[test])),
        "training_applications": int(train.sum()),
        "outstanding": applications.outstanding,
        "hired": float(hired[test].mean()),
        "predicted": float(predicted.mean()),
        **with_intervals(
            measures,
            predicted,
            hired[test],
            applications.member[test],
            resamples=config.resamples,
            seed=seed,
        ),
        "ece_by_chance": calibration_error_by_chance(predicted, config.bins, seed=seed),
        "log_loss_of_base_rate": log_loss(base, hired[test]),
        "brier_of_base_rate": brier(base, hired[test]),
        "trees": fitted.rounds,
        "features": len(NAMES),
    }
    bins = reliability(predicted, hired[test], config.bins)
    fitted.trees.save_model(directory / TREES)
    about = {
        "names": NAMES,
        "digest": digest(directory / TREES),
        "calibration": curve,
        "horizon_days": config.horizon_days,
        "config": config.model_dump(),
        "seed": seed,
    }
    _write(directory, about, [row], bins)
    return row, bins


def _fit(
    continuous: NDArray[np.float32],
    hired: NDArray[np.bool_],
    member: NDArray[np.int64],
    config: HiresConfig,
    seed: int,
) -> _Fitted:
    """Choose the rounds by folds of members, then train on all of them."""
    import lightgbm

    parameters = {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.leaf_applications,
        "lambda_l2": config.l2,
        "feature_fraction": config.feature_share,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    rows = continuous[:, COLUMNS]
    fold = np.random.default_rng(seed).permutation(int(member.max()) + 1)[member] % config.folds
    sides = [(np.flatnonzero(fold != own), np.flatnonzero(fold == own)) for own in np.unique(fold)]

    def data() -> Any:
        return lightgbm.Dataset(rows, hired.astype(np.float32), params={"verbosity": -1})

    curves: dict[str, Any] = lightgbm.cv(
        parameters,
        data(),
        config.trees,
        folds=sides,
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
        return_cvbooster=True,
    )
    rounds = len(curves["valid binary_logloss-mean"])
    held_out = np.empty(len(hired))
    for trees, (_, own) in zip(curves["cvbooster"].boosters, sides, strict=True):
        held_out[own] = trees.predict(rows[own], num_iteration=rounds, raw_score=True)
    return _Fitted(lightgbm.train(parameters, data(), rounds), rounds, held_out)


def _platt(scores: NDArray[np.float64], hired: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit slope and offset of the logistic curve from scores to outcomes.

    Source: Platt, Probabilistic outputs for support vector machines, 1999.
    """
    from sklearn.linear_model import LogisticRegression

    curve = LogisticRegression(C=1e6).fit(scores[:, None], hired)
    return float(curve.coef_[0, 0]), float(curve.intercept_[0])


def _write(directory: Path, about: dict[str, Any], rows: list[dict], bins: list[dict]) -> None:
    (directory / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    tables = {"hires": rows, "hires_reliability": bins}
    (directory / MEASURED).write_text(json.dumps(tables, indent=1) + "\n")
