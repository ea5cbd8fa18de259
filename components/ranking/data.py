"""What rankers are trained and applied on: opened lists beside the vectors of their members."""

import json
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from components.encoder.vectors import ABOUT as VECTORS_ABOUT
from components.encoder.vectors import load_vectors
from components.ranking.batches import Scale, Sizes
from components.ranking.config import RankerConfig
from components.ranking.errors import RankingError
from components.ranking.lists import Lists
from components.text.ragged import ragged_positions

ROWS_AT_ONCE = 200_000


class Vectors(NamedTuple):
    """Activity vectors of examples, and what made them.

    Attributes:
        rows: float32[examples, d].
        encoder: version of the encoder.
    """

    rows: NDArray[np.float32]
    encoder: str

    @classmethod
    def open(cls, directory: Path, lists: Lists) -> Self:
        """Map what `embed_examples` wrote.

        Raises:
            RankingError: it does not name its encoder, or lacks examples of the lists.
        """
        rows = load_vectors(directory)
        about = directory / VECTORS_ABOUT
        try:
            encoder = json.loads(about.read_text())["encoder"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RankingError(f"{about}: does not name an encoder: {error!r}") from error
        needed = int(lists.example.max(initial=-1)) + 1
        if needed > len(rows):
            raise RankingError(
                f"{directory}: holds {len(rows)} vectors, the lists are of {needed} examples or "
                "more: were they made from other examples?"
            )
        return cls(rows, encoder)


class TrainingData(NamedTuple):
    """Everything a ranker learns from.

    Attributes:
        lists: all of them.
        vectors: of their members.
        training: int64, numbers of the training members' lists that have a gain.
        validation: int64, those of validation members.
        sizes: of the model's inputs.
        features: scale of the continuous features on the training side.
        activity: scale of the vectors on the training side.
    """

    lists: Lists
    vectors: Vectors
    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    sizes: Sizes
    features: Scale
    activity: Scale

    @classmethod
    def open(cls, directory: Path, vectors: Path, config: RankerConfig) -> Self:
        """Open lists and vectors.

        Args:
            directory: written by `build_lists`.
            vectors: written by `embed_examples`.
            config: how much of a list is learnt from; gains further down are not counted.

        Raises:
            RankingError: they do not fit each other, or nothing can be learnt.
        """
        lists = Lists.open(directory)
        opened = Vectors.open(vectors, lists)
        side = lists.select("train")
        training = side[has_gain(lists, side, size=config.list_size)]
        if not len(training):
            raise RankingError(
                f"{directory}: no list of a training member has a document with a gain"
            )
        validation = lists.select("validation")
        examples = np.unique(lists.example[side]).astype(np.int64)
        sizes = Sizes(
            words=len(lists.words),
            widths=tuple(t.shape[1] for t in (lists.queries, lists.titles, lists.companies)),
            continuous=lists.continuous.shape[1],
            codes=tuple(size for _, size in lists.about["categorical"]),
            vector=opened.rows.shape[1],
        )
        return cls(
            lists,
            opened,
            training,
            validation[has_gain(lists, validation)],
            sizes,
            _without(scale_of(lists.continuous, documents_of(lists, side)), lists, config),
            scale_of(opened.rows, examples[examples >= 0]),
        )


def documents_of(lists: Lists, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of the documents of some lists, in order."""
    starts = lists.offsets[numbers]
    return ragged_positions(starts, lists.offsets[numbers + 1] - starts)


def has_gain(
    lists: Lists, numbers: NDArray[np.int64], *, size: int | None = None
) -> NDArray[np.bool_]:
    """Return bool[n], which lists have a document with a gain, among their first `size`."""
    starts = lists.offsets[numbers]
    lengths = lists.offsets[numbers + 1] - starts
    lengths = lengths if size is None else np.minimum(lengths, size)
    before = np.concatenate([[0], np.cumsum(lists.gains > 0)])
    return before[starts + lengths] > before[starts]


def _without(scale: Scale, lists: Lists, config: RankerConfig) -> Scale:
    """Measured in an infinite deviation, a feature that is left out is 0 everywhere."""
    out = [name.startswith(config.leave_out) for name in lists.about["continuous"]]
    deviation = np.where(out, np.float32(np.inf), scale.deviation)
    return scale._replace(deviation=deviation.astype(np.float32))


def scale_of(array: NDArray[np.floating], rows: NDArray[np.int64]) -> Scale:
    """Return mean and deviation of the rows of an array, float[n, width], which may be mapped."""
    total = np.zeros(array.shape[1])
    squares = np.zeros(array.shape[1])
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = array[rows[start : start + ROWS_AT_ONCE]].astype(np.float64)
        total += part.sum(axis=0)
        squares += (part**2).sum(axis=0)
    mean = total / max(1, len(rows))
    variance = np.maximum(squares / max(1, len(rows)) - mean**2, 0)
    # A constant leaves rounding behind, which is no deviation to divide by.
    variance[variance < 1e-9 * (1 + mean**2)] = 0
    return Scale(mean.astype(np.float32), np.sqrt(variance).astype(np.float32))
