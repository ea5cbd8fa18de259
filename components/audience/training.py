"""Train the re-ranker on validation members, measure on test members, keep what answers need."""

import json
import logging
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.audience.config import AudienceConfig, Mechanism
from components.audience.measure import Scored, measure
from components.audience.offline import Sample, match_contexts, predict_contexts, sample_postings
from components.audience.reranker import Reranker, Training, candidate_features, feature_names
from components.audience.retrieval import Pool, retrieve, retrieve_strangers
from components.audience.trails import (
    Contexts,
    People,
    read_applications,
    read_contexts,
    read_headlines,
    read_postings,
)
from components.encoder.vectors import ABOUT as ABOUT_VECTORS
from components.encoder.vectors import load_vectors
from components.extreme.training_sets import load_slices
from components.features.tables import FeatureTables, has_tables
from components.files import whole_directory
from components.labels.examples import Examples, read_labels
from components.neighbours.build import build_from
from components.neighbours.config import NeighboursConfig
from components.neighbours.index import Neighbours

MEASURED, ABOUT = "measured.json", "about.json"
APPLIED, HEADLINES, POSTINGS = "applied.parquet", "headlines.parquet", "postings.parquet"
ANY_SIMILARITY = -1.0

logger = logging.getLogger(__name__)


class Inputs(NamedTuple):
    """Where a run's outputs lie.

    Attributes:
        feed: directory of the source's tables.
        sessions: directory of session parts.
        examples: directory written by `build_examples`.
        vectors: of the examples' contexts, written by `embed_examples`.
        slices: directory written by `train_slices`.
        features: written by `build_tables` as of the examples' cuts.
    """

    feed: Path
    sessions: Path
    examples: Path
    vectors: Path
    slices: Path
    features: Path


def train_audience(inputs: Inputs, target: Path, config: AudienceConfig, *, seed: int) -> dict:
    """Train the re-ranker, measure every method, and keep what names exact matches today.

    Writes, all or nothing, `measured.json` (see `measure`, and `ranked_by`), the re-ranker,
    `about.json` and what members applied to, call themselves and can be offered now. Nothing is
    written into the directory when the source has no postings, or tells not what it showed.

    Args:
        inputs: of the run.
        target: directory to write.
        config: how candidates are found, ranked and measured.
        seed: of draws of postings, the re-ranker and intervals.

    Returns:
        What `measured.json` holds; nothing likewise.

    Raises:
        AudienceError: an input cannot be read; names it.
    """
    if not (inputs.feed / "postings").is_dir() or not has_tables(inputs.features):
        logger.info("audience: the source has no postings or impressions")
        with whole_directory(target):
            return {}
    with tempfile.TemporaryDirectory() as folder:
        study = _Study(inputs, Path(folder) / "index", config, seed)
        reranker, why = study.train()
        measured = study.measure(reranker) | {"ranked_by": why}
    with whole_directory(target) as directory:
        if reranker is not None:
            reranker.save(directory)
        pq.write_table(read_applications(inputs.sessions, config.applied), directory / APPLIED)
        pq.write_table(read_headlines(inputs.feed), directory / HEADLINES)
        pq.write_table(read_postings(inputs.feed), directory / POSTINGS)
        about = {
            "encoder": study.index.encoder,
            "config": config.model_dump(),
            "reranker": reranker is not None,
            "ranked_by": why,
        }
        (directory / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
        (directory / MEASURED).write_text(json.dumps(measured, indent=1) + "\n")
    return measured


class _Study:
    """Members as they were at their cuts: their vectors, predictions, applications, features."""

    def __init__(self, inputs: Inputs, place: Path, config: AudienceConfig, seed: int):
        self._config, self._seed = config, seed
        examples = Examples.open(inputs.examples)
        self._people = People.of(examples)
        encoder = json.loads((inputs.vectors / ABOUT_VECTORS).read_text())["encoder"]
        vectors = np.asarray(load_vectors(inputs.vectors)[self._people.example])
        ids = self._people.ids.tolist()
        build_from(ids, vectors, encoder, place, NeighboursConfig(), seed=seed)
        self.index = Neighbours.open(place)
        rows = self.index.rows(ids)
        self._person = np.full(len(self.index), -1, np.int64)
        self._person[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        self._applications = read_applications(inputs.sessions, config.applied, self._people)
        self._matches = match_contexts(
            self.index,
            applications=self._applications,
            headlines=read_headlines(inputs.feed),
            predictions=predict_contexts(
                vectors, load_slices(inputs.slices)["D2"], rows, config.predicted
            ),
            labels=read_labels(inputs.examples),
        )
        self.contexts: Contexts = read_contexts(inputs.sessions, self._people)
        self._tables = FeatureTables.open(inputs.features)
        self._member_rows = self._tables.member_rows(ids)

    def train(self) -> tuple[Reranker | None, str]:
        """Return the re-ranker and what candidates are ranked by, and why."""
        sample = self._sample("validation")
        if not len(sample.titles):
            return None, "similarity: no application by a validation member to learn from"
        pool = self._pool(sample, self._config.mechanism)
        column = np.asarray(sample.relevant[pool.posting, pool.row]).ravel()
        applied = column > 0
        if applied.sum() < self._config.minimum_positives:
            return None, (
                f"similarity: only {applied.sum()} applications by validation members to learn "
                f"from, minimum_positives={self._config.minimum_positives}"
            )
        training = Training(
            self._features(sample, pool),
            applied,
            pool.row,
            pool.exact,
        )
        names = feature_names(self._tables)
        return Reranker.train(training, names, self._config, seed=self._seed), "reranker"

    def measure(self, reranker: Reranker | None) -> dict:
        """Measure on test members."""
        sample = self._sample("test")
        if not len(sample.titles):
            return {"rows": [], "differences": [], "curve": []}
        mechanisms: tuple[Mechanism, ...] = ("mean", "feedback")
        candidates = {
            mechanism: self._scored(sample, self._pool(sample, mechanism), reranker)
            for mechanism in mechanisms
        }
        strangers = self._pool(sample, self._config.mechanism, strangers=True)
        return measure(
            sample.relevant[:, sample.members],
            candidates,
            self.contexts.actions[sample.members],
            self._config,
            strangers=self._scored(sample, strangers, reranker),
            threshold=None if reranker is None else reranker.threshold,
            seed=self._seed,
        )

    def _scored(self, sample: Sample, pool: Pool, reranker: Reranker | None) -> Scored:
        score = pool.similarity
        if reranker is not None:
            score = reranker.score(self._features(sample, pool))
        return Scored(pool._replace(row=np.searchsorted(sample.members, pool.row)), score)

    def _sample(self, split: str) -> Sample:
        return sample_postings(
            self._applications, self._people, split, most=self._config.postings, seed=self._seed
        )

    def _pool(self, sample: Sample, mechanism: Mechanism, *, strangers: bool = False) -> Pool:
        """Return the sample's members among the candidates of its postings, however near.

        In place of rows of the index the pool has numbers of members.
        """
        matches = [
            self._matches.of(company, title)
            for company, title in zip(sample.companies, sample.titles, strict=True)
        ]
        wide = {"mechanism": mechanism, "at_least": ANY_SIMILARITY}
        config = self._config.model_copy(update=wide)
        if strangers:
            pool = retrieve_strangers(self.index, matches, config, seed=self._seed)
        else:
            pool = retrieve(self.index, matches, config)
        pool = pool._replace(row=self._person[pool.row])
        return pool.select(np.isin(pool.row, sample.members))

    def _features(self, sample: Sample, pool: Pool) -> NDArray[np.float32]:
        item_ids = [item or "" for item in sample.item_ids]
        return candidate_features(
            pool,
            self._tables,
            members=self._member_rows[pool.row],
            postings=self._tables.posting_rows(item_ids)[pool.posting],
            ts=self.contexts.last[pool.row],
            neighbours=self._config.neighbours,
        )
