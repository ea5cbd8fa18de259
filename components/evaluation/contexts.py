"""Long contexts: chunk by chunk, in one pass, or the newest chunk alone; precision and cost."""

import json
import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.encoder.batching import contexts
from components.encoder.config import EmbedConfig
from components.encoder.embed import Embedder
from components.encoder.vectors import NEWEST as NEWEST_FILE
from components.encoder.vectors import VECTORS as VECTORS_FILE
from components.encoder.vectors import load_vectors
from components.encoder.weights import StoredEncoder, load_encoder
from components.evaluation.config import EvaluationConfig
from components.evaluation.context_tables import (
    CHUNKS,
    CUTOFFS,
    EVERYBODY,
    LONG,
    MEASURED,
    NEWEST,
    ONE_PASS,
)
from components.evaluation.errors import EvaluationError
from components.evaluation.metrics import difference_interval, hits, mean_interval
from components.extreme.config import SliceConfig
from components.extreme.training_sets import load_slices, train_slices
from components.files import whole_directory
from components.labels.examples import Examples
from components.text.documents import Tokens

COMPARED = ((ONE_PASS, CHUNKS), (ONE_PASS, NEWEST), (CHUNKS, NEWEST))
DATASETS = ("D1-new", "D2")
TIMED = 64
"""Long contexts that are encoded once more, to tell what each way costs."""

Documents = list[NDArray[np.int32]]

logger = logging.getLogger(__name__)


def compare_contexts(
    encoder: Path,
    tokens: Path,
    examples: Path,
    vectors: Path,
    slices: Path,
    target: Path,
    *,
    embed: EmbedConfig,
    slice_config: SliceConfig,
    config: EvaluationConfig,
    seed: int,
) -> dict[str, list[dict]]:
    """Compare the ways to a vector of a long context; the encoder is one and the same.

    Each way has Slices of its own, trained on its vectors. Only contexts of more than one chunk are
    encoded: for the others all ways are the same.

    Args:
        encoder: directory written by `finetune`.
        tokens: directory written by `write_tokens`.
        examples: directory written by `build_examples`.
        vectors: directory written by `embed_examples` with `embed`.
        slices: directory written by `train_slices` of those vectors.
        target: directory to write `measured.json` into; all or nothing, and empty where no test
            member's context is longer than a chunk.
        embed: how the run's own vectors were made.
        slice_config: of the Slices.
        config: examples that are compared, and resamples of the intervals.
        seed: of the draw of examples, Slices, intervals and what is timed.

    Returns:
        What is written, the tables `long_contexts` (P@1, P@3, P@5 with 95% intervals over members,
        per data set, of all and of those with more than one chunk), `long_contexts_differences`
        (on the same members) and `long_contexts_cost` (CPU seconds on the same contexts, subwords
        per CPU-second, cosine to the vectors of averaged chunks).

    Raises:
        EvaluationError: vectors and examples do not fit each other.
    """
    data, stored = Examples.open(examples), load_encoder(encoder)
    found = {name: load_vectors(vectors, name) for name in (VECTORS_FILE, NEWEST_FILE)}
    if any(len(own) != len(data) for own in found.values()):
        raise EvaluationError(
            f"{vectors}: holds {len(found[VECTORS_FILE])} vectors, there are {len(data)} examples"
        )
    sampled = len(data) > config.compared
    if sampled:
        drawn = np.random.default_rng(seed).choice(len(data), config.compared, replace=False)
        rows = np.sort(drawn)
        data, found = data.take(rows), {name: own[rows] for name, own in found.items()}
    context = contexts(Tokens.open(tokens), data, limit=None)
    documents = [context(row) for row in range(len(data))]
    is_long = np.array([len(one) >= stored.bert.config.max_tokens for one in documents], bool)
    tested = np.unique(np.concatenate([data.select(name, "test")[0] for name in DATASETS]))
    with whole_directory(target) as directory:
        if not is_long[tested].any():
            return {}
        ways = _embedders(stored, embed)
        own = ONE_PASS if embed.contexts == "one_pass" else CHUNKS
        by_way = {own: found[VECTORS_FILE], NEWEST: found[NEWEST_FILE]}
        by_way = _complete(by_way, ways, documents, is_long)
        trained = {} if sampled else {own: slices}
        figures = _figures(by_way, data, trained, slice_config, seed)
        result = {
            "long_contexts": _rows(figures, data, is_long, config, seed),
            "long_contexts_differences": _differences(figures, data, is_long, config, seed),
            "long_contexts_cost": _costs(ways, by_way, documents, tested[is_long[tested]], seed),
        }
        (directory / MEASURED).write_text(json.dumps(result, indent=1) + "\n")
    logger.info("contexts compared long=%d of=%d", is_long.sum(), len(data))
    return result


def _embedders(stored: StoredEncoder, embed: EmbedConfig) -> dict[str, Embedder]:
    settings: dict[str, dict[str, Any]] = {
        CHUNKS: {"contexts": "chunks"},
        ONE_PASS: {"contexts": "one_pass"},
        NEWEST: {"contexts": "chunks", "chunks": 1},
    }
    return {
        way: Embedder(stored, embed.model_copy(update=changed)) for way, changed in settings.items()
    }


def _complete(
    vectors: dict[str, NDArray[np.float32]],
    ways: Mapping[str, Embedder],
    documents: Documents,
    is_long: NDArray[np.bool_],
) -> dict[str, NDArray[np.float32]]:
    """Add the vectors of the way that the run did not go."""
    (other,) = ways.keys() - vectors.keys()
    rows = np.flatnonzero(is_long)
    own = np.array(vectors[NEWEST])
    own[rows] = ways[other].embed([documents[row] for row in rows])
    return {way: (vectors | {other: own})[way] for way in ways}


Figures = dict[str, dict[str, NDArray[np.float64]]]
"""Data set to way to the precision at each cut-off of each test member, [members, cut-offs]."""


def _figures(
    vectors: Mapping[str, NDArray[np.float32]],
    data: Examples,
    trained: Mapping[str, Path],
    config: SliceConfig,
    seed: int,
) -> Figures:
    figures: Figures = {name: {} for name in DATASETS if len(data.select(name, "test")[0])}
    for way, found in vectors.items():
        with tempfile.TemporaryDirectory() as folder:
            place = trained.get(way, Path(folder, "slices"))
            if way not in trained:
                train_slices(found, data, place, config, seed=seed)
            models = load_slices(place)
            for name, by_way in figures.items():
                rows, truth = data.select(name, "test")
                exclude = data.past_to_exclude(name, rows)
                k = min(CUTOFFS[-1], truth.shape[1])
                labels, _ = models[name].predict(found[rows], k, exclude=exclude)
                right = hits(labels, truth)
                by_way[way] = np.stack([right[:, :k].sum(axis=1) / k for k in CUTOFFS], axis=1)
    return figures


def _groups(data: Examples, name: str, is_long: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    long = is_long[data.select(name, "test")[0]]
    groups = {EVERYBODY: np.ones_like(long), LONG: long}
    return {group: inside for group, inside in groups.items() if inside.any()}


def _rows(
    figures: Figures,
    data: Examples,
    is_long: NDArray[np.bool_],
    config: EvaluationConfig,
    seed: int,
) -> list[dict]:
    rows = []
    for name, by_way in figures.items():
        for group, inside in _groups(data, name, is_long).items():
            for way, own in by_way.items():
                row = {"method": way, "dataset": name, "members": group, "n": int(inside.sum())}
                for place, k in enumerate(CUTOFFS):
                    figure = own[inside, place]
                    mean, low, high = mean_interval(figure, resamples=config.resamples, seed=seed)
                    row |= {f"p@{k}": mean, f"p@{k}_low": low, f"p@{k}_high": high}
                rows.append(row)
    return rows


def _differences(
    figures: Figures,
    data: Examples,
    is_long: NDArray[np.bool_],
    config: EvaluationConfig,
    seed: int,
) -> list[dict]:
    rows = []
    for name, by_way in figures.items():
        for group, inside in _groups(data, name, is_long).items():
            for ours, theirs in COMPARED:
                for place, k in enumerate(CUTOFFS):
                    mean, low, high = difference_interval(
                        by_way[ours][inside, place],
                        by_way[theirs][inside, place],
                        resamples=config.resamples,
                        seed=seed,
                    )
                    rows.append(
                        {
                            "method": ours,
                            "against": theirs,
                            "dataset": name,
                            "members": group,
                            "figure": f"p@{k}",
                            "difference": mean,
                            "low": low,
                            "high": high,
                        }
                    )
    return rows


def _costs(
    ways: Mapping[str, Embedder],
    vectors: Mapping[str, NDArray[np.float32]],
    documents: Documents,
    rows: NDArray[np.int64],
    seed: int,
) -> list[dict]:
    drawn = np.random.default_rng(seed).permutation(rows)[:TIMED]
    timed = [documents[row] for row in drawn]
    costs = []
    for way, embedder in ways.items():
        embedder.embed(timed[:4])  # runtimes build their kernels by shape
        start = time.process_time()
        embedder.embed(timed)
        seconds = max(time.process_time() - start, 1e-9)
        subwords = sum(embedder.subwords(document) for document in timed)
        costs.append(
            {
                "method": way,
                "contexts": len(timed),
                "subwords": subwords,
                "seconds": seconds,
                "tokens_per_second": subwords / seconds,
                "cosine": _mean_cosine(vectors[way][rows], vectors[CHUNKS][rows]),
            }
        )
    return costs


def _mean_cosine(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    products = np.einsum("nd,nd->n", ours, theirs)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(np.mean(products / np.where(norms > 0, norms, 1)))
