"""Measure every method on the test members of every data set: the rows of the paper's Table 3."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.baselines.predictions import Rank
from components.evaluation.config import EvaluationConfig
from components.evaluation.errors import EvaluationError
from components.evaluation.metrics import (
    by_frequency,
    difference_interval,
    grade_shares,
    hits,
    precision_at_k,
    propensities,
    propensity_scored_precision_at_k,
    repeat_share,
    semantic_similarity_at_k,
    suggestion_coverage,
)
from components.evaluation.order import published_order
from components.evaluation.predictors import (
    TRAINED_ON,
    floor_predictors,
)
from components.evaluation.published import PUBLISHED
from components.files import whole_file
from components.labels.draw import draw_test_rows, measured_datasets
from components.labels.examples import Examples
from components.progress import progress

METHODS = (
    "popular",
    "repeat",
    "co-occurrence",
    "MNSRF",
    "ACG",
    "CARS",
    "LostNet",
    "CNN+e2e",
    "fastText+e2e",
    "BERT+e2e",
    "fastText+Slice",
    "BERT_PT+Slice",
    "BERT_FT+Slice",
)
OURS = "BERT_FT+Slice"
GRADES = ("perfect", "good", "fair", "bad")
CUTOFFS = (1, 3, 5)
ROWS_AT_ONCE = 512

NOTES = {
    "D1": "Labels of the last 20% of a member's sessions; nothing is excluded from the ranking.",
    "D1-new": "Those labels of D1 that the member's past does not hold, as under “suggested job "
    "searches”: every method's past labels are excluded before ranking, so that repeating has "
    "nothing to say.",
    "D2": "Labels of all sessions. They hold the context's own entities, so repeating these is "
    "right nearly always, by construction: read a score here beside that of “repeat”.",
    "D3": "Members who never searched, and the labels of all their sessions.",
}

logger = logging.getLogger(__name__)


class Grader(Protocol):
    """Judges suggestions by what the data cannot show."""

    def __call__(self, member_ids: Sequence[str], labels: NDArray[np.int32], /) -> NDArray:
        """Grade labels [n, k] of n members: a number in `GRADES` each, -1 for no suggestion."""


def evaluate(
    examples: Examples,
    predictors: Mapping[str, Rank | Mapping[str, Rank]],
    target: Path,
    config: EvaluationConfig,
    *,
    entity_vectors: NDArray[np.float32],
    grader: Grader | None = None,
    told: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int,
) -> dict[str, list[dict]]:
    """Measure methods, and the floors, on members that no model has seen.

    On D1-new the labels of a member's past are excluded before ranking; elsewhere nothing is.

    Args:
        examples: contexts, labels and the split.
        predictors: method to predictor or, for a method trained on each data set, to its predictor
            per data set; the predictor for D2 serves D3 too, and what is missing is not measured.
        target: JSON file to write.
        config: cut-offs and sizes.
        entity_vectors: of the labels, float32 [L, d], for Semantic-Similarity.
        grader: of suggestions, where the truth is known.
        told: what methods tell of themselves, by method; of this a row has `unknown`.
        seed: of the draw of members and of the confidence intervals.

    Returns:
        What is written: `rows` (method, dataset, `p@1` ... , n and, of D2 and D3 where members
        search, `published`), `differences` (precision at 1 of BERT_FT+Slice less that of each other
        method, with a 95% interval), `order` (see `published_order`), `frequency` (precision and
        recall by how frequent a label is in training) and `baselines` (what was told).

    Raises:
        EvaluationError: no test member has a label, or the inputs do not fit each other.
    """
    if len(entity_vectors) != len(examples.label_texts):
        raise EvaluationError(
            f"entity_vectors has {len(entity_vectors)} rows for {len(examples.label_texts)} labels"
        )
    told = told or {}
    result: dict[str, list[dict]] = {
        "rows": [],
        "differences": [],
        "order": [],
        "frequency": [],
        "baselines": [{"method": method, **facts} for method, facts in told.items()],
    }
    datasets = measured_datasets(examples)
    if not datasets:
        raise EvaluationError("no test member has a label to predict")
    methods = {**floor_predictors(examples), **predictors}
    searched = bool(examples.table["searched"].any())  # else the paper's task is another
    with progress("evaluate", total=len(datasets) * len(methods)) as bar:
        for dataset in datasets:
            measures = _Measures.of(examples, dataset, config, entity_vectors, grader, seed)
            units: dict[str, dict[str, NDArray]] = {}
            for method, predictor in _on(dataset, methods).items():
                labels = _rank(predictor, measures, config.depth, method)
                figures, own = measures(labels)
                row = {"method": method, "dataset": dataset, **figures}
                if "unknown" in told.get(method, ()):
                    row["unknown"] = told[method]["unknown"]
                if searched and method in PUBLISHED.get(dataset, {}):
                    row["published"] = PUBLISHED[dataset][method]
                result["rows"].append(row)
                result["frequency"] += measures.frequency(labels, method)
                for figure, values in own.items():
                    units.setdefault(figure, {})[method] = values
                bar.advance(dataset=dataset, method=method)
            result["differences"] += _differences(units["p@1"], dataset, config, seed)
            if searched:
                result["order"] += published_order(
                    dataset, units, resamples=config.resamples, seed=seed
                )
    with whole_file(target) as path:
        path.write_text(json.dumps(result, indent=1))
    logger.info("evaluated datasets=%s methods=%d", ",".join(datasets), len(methods))
    return result


class _Measures(NamedTuple):
    """All that is measured on one data set."""

    dataset: str
    rows: NDArray[np.int64]
    truth: sp.csr_matrix
    past: sp.csr_matrix
    propensity: NDArray[np.float64]
    examples: Examples
    config: EvaluationConfig
    entity_vectors: NDArray[np.float32]
    grader: Grader | None

    @classmethod
    def of(
        cls,
        examples: Examples,
        dataset: str,
        config: EvaluationConfig,
        entity_vectors: NDArray[np.float32],
        grader: Grader | None,
        seed: int,
    ) -> "_Measures":
        rows, truth = draw_test_rows(examples, dataset, members=config.members, seed=seed)
        training, labels = examples.select(TRAINED_ON[dataset], "train")
        propensity = propensities(
            np.bincount(labels.indices, minlength=labels.shape[1]),
            max(1, len(training)),
            a=config.propensity_a,
            b=config.propensity_b,
        )
        past = examples.context[rows]
        return cls(dataset, rows, truth, past, propensity, examples, config, entity_vectors, grader)

    @property
    def exclude(self) -> sp.csr_matrix | None:
        return self.past if self.dataset == "D1-new" else None

    def __call__(self, labels: NDArray[np.int32]) -> tuple[dict[str, float], dict[str, NDArray]]:
        """Return figures, and what some are means of: per member, or per label for coverage."""
        truth, vectors = self.truth, self.entity_vectors
        row = {f"p@{k}": precision_at_k(labels, truth, k) for k in CUTOFFS}
        row |= {f"ss@{k}": semantic_similarity_at_k(labels, truth, vectors, k) for k in CUTOFFS}
        row["coverage"] = suggestion_coverage(labels, truth.shape[1])
        row["repeats"] = repeat_share(labels, self.past, self.config.shown)
        row["repeats@1"] = repeat_share(labels, self.past, 1)
        row |= {
            f"psp@{k}": propensity_scored_precision_at_k(labels, truth, self.propensity, k)
            for k in CUTOFFS
        }
        row["n"] = len(self.rows)
        covered = np.zeros(truth.shape[1], bool)
        covered[labels[labels >= 0]] = True
        units = {"p@1": hits(labels[:, :1], truth).ravel(), "coverage": covered}
        if self.grader is not None:
            members = self.examples.table["member_id"][self.rows]
            graded = slice(self.config.graded)
            grades = self.grader(members[graded], labels[graded, : self.config.shown])
            row |= grade_shares(grades, GRADES)
            units["perfect"] = (grades == GRADES.index("perfect")).mean(axis=1)
        return row, units

    def frequency(self, labels: NDArray[np.int32], method: str) -> list[dict]:
        counts = self.examples.label_counts
        bands = by_frequency(
            labels[:, : self.config.shown], self.truth, counts, frequency_bands(int(counts.max()))
        )
        return [{"method": method, "dataset": self.dataset, **band} for band in bands]


def frequency_bands(highest: int) -> dict[str, tuple[int, int]]:
    """Cut counts up to `highest` into bands, each four times as wide as the one below."""
    bands, low = {}, 1
    while low <= highest:
        bands[f"{low}-{4 * low - 1}"] = (low, 4 * low)
        low *= 4
    return bands


def _on(dataset: str, methods: Mapping[str, Rank | Mapping[str, Rank]]) -> dict[str, Rank]:
    found = {}
    for method, predictor in methods.items():
        if not isinstance(predictor, Mapping):
            found[method] = predictor
        elif dataset in predictor or TRAINED_ON[dataset] in predictor:
            found[method] = predictor.get(dataset) or predictor[TRAINED_ON[dataset]]
    known = {method: place for place, method in enumerate(METHODS)}
    return dict(sorted(found.items(), key=lambda item: known.get(item[0], len(known))))


def _rank(predictor: Rank, measures: _Measures, depth: int, method: str) -> NDArray[np.int32]:
    rows, width = measures.rows, measures.truth.shape[1]
    exclude = measures.examples.past_to_exclude(measures.dataset, rows)
    k = min(depth, width)
    labels = np.full((len(rows), max(depth, CUTOFFS[-1])), -1, np.int32)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block = slice(start, start + ROWS_AT_ONCE)
        found, _ = predictor(rows[block], k, None if exclude is None else exclude[block])
        if found.shape != (len(rows[block]), k) or found.max(initial=-1) >= width:
            raise EvaluationError(
                f"{method} returned labels {list(found.shape)} up to {found.max(initial=-1)}, "
                f"not [{len(rows[block])}, {k}] below {width}"
            )
        labels[block, :k] = found
    return labels


def _differences(
    first_hits: dict[str, NDArray[np.bool_]], dataset: str, config: EvaluationConfig, seed: int
) -> list[dict]:
    if OURS not in first_hits:
        return []
    differences = []
    for method, theirs in first_hits.items():
        if method == OURS:
            continue
        mean, low, high = difference_interval(
            first_hits[OURS], theirs, resamples=config.resamples, seed=seed
        )
        differences.append(
            {
                "method": OURS,
                "against": method,
                "dataset": dataset,
                "p@1": mean,
                "low": low,
                "high": high,
            }
        )
    return differences
