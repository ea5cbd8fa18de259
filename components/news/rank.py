"""Rank news as in the paper's Appendix A: vectors, rankers of each combination, official figures.

A killed run goes on where it was: vectors encoded so far, the steps of a ranker, and rankers that
are done are kept below the checkpoints, under the identity of everything that they depend on.
"""

import json
import logging
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.encoder.embed import Embedder
from components.files import digest, whole_directory
from components.news.config import Combination, NewsConfig
from components.news.errors import NewsError
from components.news.impressions import (
    FOLDERS,
    Impressions,
    prepare_impressions,
    read_items,
)
from components.news.lists import clicks_to_learn
from components.news.measure import MEASURED, figure_table, floors, pretraining_table
from components.news.metrics import ranks_of
from components.news.model import export
from components.news.predictions import write_predictions
from components.news.training import NewsTrainer, TrainingSide
from components.news.vectors import encode_news, tokenise_items
from components.ranking import checkpoint
from components.ranking.keras import tf

ABOUT, LOG, SAVED_MODEL = "ranker.json", "log.jsonl", "saved_model"
_WEIGHTS, _FACTS = "weights.npz", "facts.json"

logger = logging.getLogger(__name__)


def rank_news(
    feed: Path,
    encoder: Path,
    target: Path,
    config: NewsConfig,
    *,
    pretrained: Path | None = None,
    seed: int,
    checkpoints: Path,
) -> dict[str, list[dict]]:
    """Train a ranker of each combination on the train fold, and measure it on the dev fold.

    Writes `measured.json` (the tables), `log.jsonl` ({combination, step, loss, auc} of each
    evaluation), and of the combination that is best on validation impressions `saved_model/` (raw
    vectors to scores, see `model.export`), `ranker.json`, and the ranks of the test fold, or of the
    dev fold where there is no test fold, as the competition takes them (`prediction.txt`,
    `prediction.zip`); all or nothing.

    SIGTERM and Ctrl-C write a checkpoint and leave with 128 + the signal's number; the resumed run
    ends with the same weights as one that was not stopped.

    Args:
        feed: directory written by `ingest_source`, of news (`has_news`).
        encoder: directory written by `finetune`.
        target: directory to write.
        config: shape and training.
        pretrained: the encoder before fine-tuning, whose losses are reported.
        seed: of weights, lists, the order among equal scores and intervals.
        checkpoints: directory of what a killed run goes on with.

    Returns:
        The tables `mind`, `mind_differences` and `mind_pretraining`.

    Raises:
        NewsError: no impression to learn from or to measure, a damaged file, or a loss that is no
            longer a number.
    """
    tf.random.set_seed(seed)
    tf.config.experimental.enable_op_determinism()
    embedder = Embedder.load(encoder)
    of = _identity(feed, embedder, config, seed)
    work = checkpoints / of
    items = read_items(feed)
    if not (work / "impressions").exists():
        prepare_impressions(feed, items, work / "impressions", history=config.history)
    impressions = Impressions.open(work / "impressions")
    dev = impressions.select("dev")
    if not len(clicks_to_learn(impressions, dev)):
        raise NewsError(
            f"{feed}: no impression of the dev fold to measure on, with items that were clicked "
            "and others that were not"
        )
    sentences = tokenise_items(items, embedder.vocabulary)
    vectors = encode_news(sentences, impressions, embedder, work)
    side = TrainingSide.of(impressions, vectors, config)
    trained = {}
    for number, combination in enumerate(config.combinations):
        place = work / f"ranker-{number}"
        if not place.exists():
            _train(side, config, combination, place, of, seed=seed)
        trained[combination] = _Trained(side, config, combination, place, seed=seed)
    positions, offsets = impressions.positions(dev)
    scores: dict[str, NDArray] = dict(floors(impressions, positions, seed=seed))
    scores |= {combination: own.trainer.score(dev)[0] for combination, own in trained.items()}
    ranks = {name: ranks_of(own, offsets, seed=seed) for name, own in scores.items()}
    tables = figure_table(
        ranks,
        impressions.clicked[positions] > 0,
        offsets,
        {combination: own.facts for combination, own in trained.items()},
        resamples=config.resamples,
        seed=seed,
    )
    tables["mind_pretraining"] = pretraining_table(pretrained / "log.jsonl") if pretrained else []
    best = max(trained, key=lambda combination: trained[combination].facts["validation_auc"])
    with whole_directory(target) as directory:
        _write_ranks(directory, impressions, trained[best].trainer, dev, ranks[best], seed)
        export(trained[best].model, directory / SAVED_MODEL)
        about = {
            "combination": best,
            "seed": seed,
            "encoder": embedder.version,
            "dimension": embedder.dimension,
            "config": config.model_dump(),
        }
        log = [{"combination": name, **entry} for name, own in trained.items() for entry in own.log]
        (directory / LOG).write_text("".join(json.dumps(entry) + "\n" for entry in log))
        (directory / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        (directory / MEASURED).write_text(json.dumps(tables, indent=1) + "\n")
    logger.info("news impressions=%d best=%s", len(dev), best)
    return tables


class _Trained:
    """A ranker that is done."""

    def __init__(
        self,
        side: TrainingSide,
        config: NewsConfig,
        combination: Combination,
        place: Path,
        *,
        seed: int,
    ):
        kept: dict[str, Any] = json.loads((place / _FACTS).read_text())
        self.facts, self.log = kept["facts"], kept["log"]
        self.trainer = NewsTrainer(side, config, combination, seed=seed)
        with np.load(place / _WEIGHTS) as weights:
            self.model = self.trainer.at([weights[name] for name in weights.files])


def _train(
    side: TrainingSide,
    config: NewsConfig,
    combination: Combination,
    place: Path,
    of: str,
    *,
    seed: int,
) -> None:
    trainer = NewsTrainer(side, config, combination, seed=seed)
    end = trainer.run(place.with_name(f"{place.name}-checkpoint"), of)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = {
        "lists": len(side.clicks),
        "steps": end.step,
        "best_step": end.best_entry["step"],
        "validation_auc": end.best_entry.get("auc", 0.0),
        "steps_per_second": trainer.steps_per_second,
        "peak_memory": peak * (1 if sys.platform == "darwin" else 1024) / 1e9,
    }
    with whole_directory(place) as directory:
        np.savez(directory / _WEIGHTS, *end.best)
        (directory / _FACTS).write_text(json.dumps({"facts": facts, "log": end.log}) + "\n")


def _write_ranks(
    directory: Path,
    impressions: Impressions,
    trainer: NewsTrainer,
    dev: NDArray[np.int64],
    dev_ranks: NDArray[np.int32],
    seed: int,
) -> None:
    rows, ranks = impressions.select("test"), dev_ranks
    if len(rows):
        scores, offsets = trainer.score(rows)
        ranks = ranks_of(scores, offsets, seed=seed)
    else:
        rows = dev
        _, offsets = impressions.positions(rows)
    write_predictions(directory, impressions.ids[rows], ranks, offsets)


def _identity(feed: Path, embedder: Embedder, config: NewsConfig, seed: int) -> str:
    folders = ("postings", *FOLDERS)
    parts = [part for name in folders for part in sorted((feed / name).glob("*.parquet"))]
    settings = config.model_dump(exclude={"checkpoint_every", "resamples"})
    return checkpoint.identity([*map(digest, parts), embedder.version, settings, seed], [])
