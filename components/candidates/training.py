"""Learn clause weights on validation members, measure on test members, keep what answers need.

Source: paper, sections 4.4 and 5.5.
"""

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.audience.trails import People, read_headlines
from components.candidates.attributes import Attributes
from components.candidates.clauses import EXPLICIT, VIEWED, Clauses
from components.candidates.config import CandidatesConfig
from components.candidates.errors import CandidatesError
from components.candidates.fitting import fit
from components.candidates.gathering import Gathering
from components.candidates.measure import MEASURES, Scored, measure_pairs
from components.candidates.package import Package
from components.candidates.pairs import Applied, Pairs, draw_pairs
from components.candidates.postings import Lists, Postings, places_of, read_catalogue
from components.candidates.retrieval import retrieve_for, summarise
from components.candidates.trails import Trails
from components.candidates.weights import Weights, matched_facts, rarity_of
from components.encoder.vectors import MemberVectors, load_vectors
from components.extreme.training_sets import load_slices
from components.features.behaviour import impression_files
from components.features.index import TextIndex
from components.files import whole_directory
from components.labels.examples import Examples, read_labels
from components.neighbours.build import build_from
from components.neighbours.config import NeighboursConfig
from components.neighbours.index import Neighbours

MEASURED = "measured.json"
BASELINE, ALONE = "baseline", "entities alone"
FASTTEXT, FINETUNED = "baseline + fastText entities", "baseline + BERT_FT entities"
SANNS = " + SANNS"
VIEWS, VIEWS_AND_ALL = "baseline + views", "baseline + views + BERT_FT entities + SANNS"
VARIANTS: dict[str, tuple[str, ...]] = {
    BASELINE: ("explicit",),
    ALONE: ("fasttext entities", "fasttext similar"),
    FASTTEXT: ("explicit", "fasttext entities"),
    FINETUNED: ("explicit", "finetuned entities"),
    FASTTEXT + SANNS: ("explicit", "fasttext entities", "fasttext similar"),
    FINETUNED + SANNS: ("explicit", "finetuned entities", "finetuned similar"),
    VIEWS: ("explicit", "views"),
    VIEWS_AND_ALL: ("explicit", "views", "finetuned entities", "finetuned similar"),
}
"""Rows of the report's table, and the sources of their clauses.

The paper's baseline reads the profile and explicit actions on the site. Activity vectors have seen
views too; what counting these by hand would bring is measured beside.
"""

PUBLISHED = {
    ALONE: {"auc": -1.59, "f1": -1.70},
    FASTTEXT + SANNS: {"auc": 4.01, "f1": 3.88},
    FINETUNED + SANNS: {"auc": 3.85, "f1": 3.41},
}
"""Table 6 of the paper: against the baseline, percent."""

SERVED = {"baseline": BASELINE, "fasttext": FASTTEXT + SANNS, "finetuned": FINETUNED + SANNS}
"""Variants that are written for serving, by name."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where a run's outputs lie.

    Attributes:
        feed: directory of the source's tables.
        sessions: directory of session parts.
        examples: directory written by `build_examples`.
        fasttext_vectors, vectors: of the examples' contexts, by fastText and by the encoder.
        fasttext_slices, slices: written by `train_slices` on these.
        everyone_fasttext, everyone: every member's vectors as of now.
        entities_fasttext, entities: every member's predicted entities as of now.
        index: of `everyone`, written by `build_index`.
    """

    feed: Path
    sessions: Path
    examples: Path
    fasttext_vectors: Path
    fasttext_slices: Path
    vectors: Path
    slices: Path
    everyone: Path
    everyone_fasttext: Path
    entities: Path
    entities_fasttext: Path
    index: Path


def train_candidates(
    inputs: Inputs, target: Path, config: CandidatesConfig, *, seed: int
) -> dict[str, Any]:
    """Learn the weights of every variant, measure them, and write those that are served.

    Writes, all or nothing, `measured.json` and a directory for each of SERVED that
    `Candidates.open` reads. Nothing is written into the directory where the source has no postings
    or tells not what it showed, or where validation members applied to too little of it.

    Args:
        inputs: of the run.
        target: directory to write.
        config: clauses, and of what their weights are learnt.
        seed: of draws of postings and of intervals.

    Returns:
        What `measured.json` holds, nothing likewise: `rows` (see `measure_pairs` and `summarise`),
        `differences`, and `clauses`, how many a member has of each source.

    Raises:
        IntentError: an input cannot be read; names it.
    """
    with whole_directory(target) as directory:
        if not (inputs.feed / "postings").is_dir() or not impression_files(inputs.feed):
            logger.info("candidates: the source has no postings or impressions")
            return {}
        study = _Study(inputs, config, seed)
        weights = study.learn()
        if not weights:
            return {}
        measured = study.measure(weights)
        (directory / MEASURED).write_text(json.dumps(measured, indent=1) + "\n")
        study.save(weights, directory)
    return measured


class _Study:
    """Members by number, the catalogue, and what members did before and after their cuts."""

    def __init__(self, inputs: Inputs, config: CandidatesConfig, seed: int):
        self._inputs, self._config, self._seed = inputs, config, seed
        catalogue = read_catalogue(inputs.feed)
        self._attributes = Attributes.learn(
            catalogue["title"].to_pylist(),
            catalogue["skills"].to_pylist(),
            places_of(catalogue),
            minimum=config.minimum_postings,
        )
        self._postings = Postings.build(catalogue, self._attributes)
        self._rarity = rarity_of(self._postings.lists, len(self._postings))
        self._people = People.of(Examples.open(inputs.examples))
        self._headlines = read_headlines(inputs.feed)
        known = set(self._people.ids)
        others = sorted(set(self._headlines["member_id"].to_pylist()) - known)
        self._ids = [*self._people.ids, *others]
        labels = read_labels(inputs.examples)
        self._entities = list(zip(*(labels[n].to_pylist() for n in ("kind", "text")), strict=True))
        self._sides = {side: self._people.rows(side) for side in ("validation", "test")}
        with Trails(inputs.sessions, self._people, config) as trails:
            self._before = trails.actions(whole=False, only=np.concatenate([*self._sides.values()]))
            self._actions = trails.actions(whole=True)
            self._applications = trails.applications()
            shown = {
                side: trails.shown(inputs.feed, members) for side, members in self._sides.items()
            }
        self._applied = Applied.of(self._applications, self._postings, len(self._ids))
        self._pairs = {
            side: draw_pairs(
                own, self._applied, self._postings, random=config.random_pairs, seed=seed
            )
            for side, own in shown.items()
        }

    def learn(self) -> dict[str, Weights]:
        """Return the weights of every variant; nothing where there is too little to learn from."""
        pairs = self._pairs["validation"]
        if pairs.applied.sum() < self._config.minimum_positives:
            logger.warning(
                "candidates: validation members applied to %d of the postings that they were "
                "shown, minimum_positives=%d",
                pairs.applied.sum(),
                self._config.minimum_positives,
            )
            return {}
        self._blocks = self._asof()
        facts = self._facts(pairs)
        return {
            name: fit(_sum(facts, blocks), pairs.applied, pairs.shown, self._config.penalty)
            for name, blocks in VARIANTS.items()
        }

    def measure(self, weights: dict[str, Weights]) -> dict[str, Any]:
        """Measure every variant on test members."""
        pairs = self._pairs["test"]
        members = self._sides["test"]
        counts = {
            block: float(np.diff(own.offsets)[members].mean())
            for block, own in self._blocks.items()
        }
        if not pairs.applied.any():
            return {"rows": [], "differences": [], "clauses": counts}
        facts = self._facts(pairs)
        scored = {
            name: Scored(weights[name].odds(_sum(facts, blocks)), weights[name].threshold)
            for name, blocks in VARIANTS.items()
        }
        against = [(name, BASELINE) for name in VARIANTS if name not in (BASELINE, VIEWS_AND_ALL)]
        against += [(name + SANNS, name) for name in (FASTTEXT, FINETUNED)]
        against += [(VIEWS_AND_ALL, VIEWS)]
        rows, differences = measure_pairs(
            pairs, scored, against=against, resamples=self._config.resamples, seed=self._seed
        )
        for row in differences:
            figures = PUBLISHED.get(row["method"], {}) if row["against"] == BASELINE else {}
            row["published"] = figures.get(row["measure"])
        for row in rows:
            own, name = weights[row["method"]], row["method"]
            odds = scored[name].odds[pairs.shown]
            published = PUBLISHED.get(name, {})
            row |= {
                **{f"published_{measure}_percent": published.get(measure) for measure in MEASURES},
                "predicted": float(own.probability(odds).mean()),
                "observed": float(pairs.applied[pairs.shown].mean()),
                **summarise(
                    retrieve_for(
                        members,
                        Clauses.join([self._blocks[block] for block in VARIANTS[name]]),
                        own,
                        self._rarity,
                        self._postings,
                        self._applied,
                    )
                ),
            }
        return {"rows": rows, "differences": differences, "clauses": counts}

    def save(self, weights: dict[str, Weights], directory: Path) -> None:
        """Write the served variants, as of now."""
        row = self._postings.ids.find(self._applications.item_ids)
        applied = Lists.of(np.where(row < 0, -1, self._applications.member), row, len(self._ids))
        counts = np.bincount(applied.values, minlength=len(self._postings))
        popular = np.argsort(-counts, kind="stable")[: self._config.popular].astype(np.int32)
        blocks = self._now()
        for name, method in SERVED.items():
            package = Package(
                Clauses.join([blocks[block] for block in VARIANTS[method]]),
                weights[method],
                self._attributes,
                self._postings,
                TextIndex.of(self._ids),
                applied,
                popular,
            )
            package.save(directory / name, self._config, variant=name)

    def _asof(self) -> dict[str, Clauses]:
        """Return the clauses that validation and test members had at their cuts."""
        measured = np.concatenate([*self._sides.values()])
        gathering = self._gathering(only=measured)
        blocks = _behaviour(gathering.behaviour(self._headlines, self._before))
        known = self._applications.select(~self._applications.later)
        ids = self._people.ids.tolist()
        for name, vectors, slices in (
            ("fasttext", self._inputs.fasttext_vectors, self._inputs.fasttext_slices),
            ("finetuned", self._inputs.vectors, self._inputs.slices),
        ):
            own = np.asarray(load_vectors(vectors)[self._people.example])
            model = load_slices(slices)["D2"]
            k = min(self._config.entities, model.label_count)
            predicted = model.predict(own[measured], k)
            blocks[f"{name} entities"] = gathering.predicted(measured, *predicted, self._entities)
            with self._index(ids, own) as index:
                blocks[f"{name} similar"] = gathering.similar(index, known)
        return blocks

    def _now(self) -> dict[str, Clauses]:
        """Return everybody's clauses as of now."""
        gathering = self._gathering()
        blocks = _behaviour(gathering.behaviour(self._headlines, self._actions))
        for name, path in (
            ("fasttext", self._inputs.entities_fasttext),
            ("finetuned", self._inputs.entities),
        ):
            members, labels, scores = _read_entities(path, self._config.entities)
            number = TextIndex.of(self._ids).find(members)
            blocks[f"{name} entities"] = gathering.predicted(number, labels, scores, self._entities)
        content = MemberVectors.open(self._inputs.everyone_fasttext)
        with self._index(content.member_ids, content.vectors) as index:
            blocks["fasttext similar"] = gathering.similar(index, self._applications)
        index = Neighbours.open(self._inputs.index)
        blocks["finetuned similar"] = gathering.similar(index, self._applications)
        return blocks

    def _facts(self, pairs: Pairs) -> dict[str, NDArray[np.float32]]:
        given = {"member": pairs.member, "posting": pairs.posting}
        return {
            block: matched_facts(own, self._postings.has, self._rarity, **given)
            for block, own in self._blocks.items()
        }

    def _gathering(self, only: NDArray[np.int64] | None = None) -> Gathering:
        return Gathering(self._ids, self._attributes, self._postings, self._config, only=only)

    @contextmanager
    def _index(
        self, ids: Sequence[str] | pa.Array | pa.ChunkedArray, vectors: NDArray[np.float32]
    ) -> Iterator[Neighbours]:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "index"
            build_from(ids, vectors, "", place, NeighboursConfig(), seed=self._seed)
            yield Neighbours.open(place)


def _behaviour(clauses: Clauses) -> dict[str, Clauses]:
    return {"explicit": clauses.of_sources(EXPLICIT), "views": clauses.of_sources({VIEWED})}


def _sum(facts: dict[str, NDArray[np.float32]], blocks: Sequence[str]) -> NDArray[np.float32]:
    return np.sum([facts[block] for block in blocks], axis=0)


def _read_entities(
    path: Path, most: int
) -> tuple[pa.ChunkedArray, NDArray[np.int32], NDArray[np.float32]]:
    """Return members, and the numbers and scores of their best entities, -1 after the last."""
    try:
        table = pq.read_table(path, columns=["member_id", "labels", "scores"])
    except (OSError, pa.ArrowException) as error:
        raise CandidatesError(f"{path}: missing or damaged: {error}") from error
    lists = [table[name].combine_chunks() for name in ("labels", "scores")]
    lengths = lists[0].value_lengths().to_numpy()
    row = np.repeat(np.arange(len(table)), lengths)
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kept = place < most
    labels = np.full((len(table), most), -1, np.int32)
    scores = np.zeros((len(table), most), np.float32)
    for own, values in zip((labels, scores), lists, strict=True):
        own[row[kept], place[kept]] = values.flatten().to_numpy()[kept]
    return table["member_id"], labels, scores
