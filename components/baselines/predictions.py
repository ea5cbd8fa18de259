"""Ranked labels that a baseline keeps for the test members, so that its step may run by itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.baselines.errors import BaselineError
from components.baselines.floors import Ranking
from components.files import whole_directory
from components.labels.draw import draw_test_rows, measured_datasets
from components.labels.examples import DATASETS, Examples
from components.progress import progress

ABOUT, ROWS, LABELS = "about.json", "rows.npy", "labels.npy"
ROWS_AT_ONCE = 512


class Predicted(NamedTuple):
    """What a method says on one data set.

    Attributes:
        rows: int64[n], example rows, ascending.
        labels: int32[n, depth], best first, -1 where the method had no more to say.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int32]


class Predictions(NamedTuple):
    """What a method says of the test members.

    Attributes:
        method: its name in the tables.
        about: facts: `seconds` that training and prediction took, `parameters`, and whatever else
            a reader should know of it.
        datasets: by data set.
    """

    method: str
    about: dict[str, Any]
    datasets: dict[str, Predicted]


class Rank(Protocol):
    """Ranks labels for rows of the examples."""

    def __call__(
        self, rows: NDArray[np.int64], k: int, exclude: sp.csr_matrix | None, /
    ) -> Ranking:
        """Rank labels.

        Args:
            rows: examples, [n].
            k: labels per example, at most the number of labels.
            exclude: labels not to return, sparse [n, L].

        Returns:
            Labels int32 [n, k], best first, -1 where there are fewer; scores float32 [n, k].
        """


def rank_test_rows(
    rank: Rank, examples: Examples, *, members: int, depth: int, seed: int
) -> dict[str, Predicted]:
    """Rank labels for the examples that `evaluate` measures on, of every data set.

    On D1-new the labels of a member's past are excluded before ranking.

    Args:
        rank: the method.
        examples: contexts and labels.
        members: most test members of a data set (`EvaluationConfig.members`).
        depth: labels per member (`EvaluationConfig.depth`).
        seed: of the draw; the one that `evaluate` is given.
    """
    found, datasets = {}, measured_datasets(examples)
    k = min(depth, len(examples.label_texts))
    with progress("rank for test members", total=len(datasets)) as bar:
        for dataset in datasets:
            rows, _ = draw_test_rows(examples, dataset, members=members, seed=seed)
            exclude = examples.past_to_exclude(dataset, rows)
            labels = np.full((len(rows), k), -1, np.int32)
            for start in range(0, len(rows), ROWS_AT_ONCE):
                block = slice(start, start + ROWS_AT_ONCE)
                barred = None if exclude is None else exclude[block]
                labels[block] = rank(rows[block], k, barred)[0]
            found[dataset] = Predicted(rows, labels)
            bar.advance(dataset=dataset)
    return found


def write_predictions(
    target: Path,
    method: str,
    datasets: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int32]]],
    about: Mapping[str, Any],
) -> None:
    """Write a method's predictions; all or nothing.

    Args:
        target: directory to write: `about.json`, and `rows.npy` and `labels.npy` per data set.
        method: its name in the tables.
        datasets: example rows [n] and labels [n, depth] by data set.
        about: facts that JSON can hold.
    """
    with whole_directory(target) as directory:
        for dataset, (rows, labels) in datasets.items():
            (directory / dataset).mkdir()
            np.save(directory / dataset / ROWS, np.asarray(rows, np.int64))
            np.save(directory / dataset / LABELS, np.asarray(labels, np.int32))
        (directory / ABOUT).write_text(json.dumps({"method": method, **about}, indent=1) + "\n")


def read_predictions(directory: Path) -> Predictions | None:
    """Read a method's predictions; None of a method that was not run, an empty directory.

    Raises:
        BaselineError: a file is missing, damaged, or does not fit another; names it.
    """
    if not any(directory.iterdir()):
        return None
    try:
        about = json.loads((directory / ABOUT).read_text())
        method = about.pop("method")
    except (OSError, ValueError, KeyError) as error:
        raise BaselineError(f"{directory / ABOUT}: no readable predictions ({error!r})") from error
    datasets = {
        dataset: _read(directory / dataset)
        for dataset in DATASETS
        if (directory / dataset).is_dir()
    }
    return Predictions(method, about, datasets)


def _read(directory: Path) -> Predicted:
    try:
        rows, labels = np.load(directory / ROWS), np.load(directory / LABELS)
    except (OSError, ValueError) as error:
        raise BaselineError(f"{directory}: no readable predictions ({error})") from error
    if labels.ndim != 2 or rows.shape != labels.shape[:1]:
        raise BaselineError(
            f"{directory / LABELS}: labels {list(labels.shape)} for rows {list(rows.shape)}"
        )
    return Predicted(rows, labels)
