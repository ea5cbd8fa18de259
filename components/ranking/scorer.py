"""Apply a trained ranker: one request at a time, or all lists of a side.

Needs tensorflow alone; neither Keras nor tensorflow-ranking is imported.
"""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from components.progress import progress
from components.ranking.batches import Documents, assemble, in_turn
from components.ranking.data import Vectors
from components.ranking.errors import RankingError
from components.ranking.lists import Lists

ABOUT, SAVED_MODEL, FLAT = "ranker.json", "saved_model", "documents"
LISTS_AT_ONCE = 256


class Ranker:
    """A trained ranker.

    Attributes:
        about: what `ranker.json` says: features, widths, the encoder of the vectors it reads.
        encoder: version of the encoder whose vectors the tower reads; None without a tower.
    """

    def __init__(self, about: dict, model: Any):
        self.about = about
        self.encoder: str | None = about["encoder"]
        self._model = model  # or its variables would be freed under the signature
        self._score = model.signatures[FLAT]

    @classmethod
    def open(cls, directory: Path, *, encoder: str | None = None) -> Self:
        """Load what `train_ranker` wrote.

        Args:
            directory: that was written.
            encoder: version of the encoder whose vectors will be given.

        Raises:
            RankingError: nothing was trained, a file is missing or damaged, or the ranker reads
                vectors of another encoder.
        """
        if not (directory / ABOUT).exists():
            raise RankingError(f"{directory / ABOUT}: missing: no ranker was trained")
        try:
            about = json.loads((directory / ABOUT).read_text())
            ranker = cls(about, tf.saved_model.load(str(directory / SAVED_MODEL)))
        except (OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
            raise RankingError(f"{directory}: not readable as a ranker: {error!r}") from error
        if encoder is not None:
            ranker.check_encoder(encoder)
        return ranker

    def check_encoder(self, encoder: str) -> None:
        """Refuse vectors of an encoder that the tower was not trained on.

        Raises:
            RankingError: another encoder; names both.
        """
        if self.encoder not in (None, encoder):
            raise RankingError(
                f"the vectors are of encoder {encoder}, the ranker reads those of {self.encoder}"
            )

    def score(
        self,
        query_words: ArrayLike,
        title_words: ArrayLike,
        company_words: ArrayLike,
        continuous: ArrayLike,
        categorical: ArrayLike,
        vector: ArrayLike | None,
    ) -> NDArray[np.float32]:
        """Score one list.

        Args:
            query_words: int[Wq], word ids of the query, 0 pads.
            title_words: int[L, Wt], of each document's title; L >= 1.
            company_words: int[L, Wc], of each document's company.
            continuous: float[L, C], raw features in the order of `about["continuous"]`.
            categorical: int[L, K], codes in the order of `about["categorical"]`.
            vector: float[d], the member's activity vector; None where there is none.

        Returns:
            float32[L]; higher ranks first.

        Raises:
            RankingError: a field of the wrong shape; names it.
        """
        query_width, title_width, company_width = (
            self.about["widths"][name] for name in ("query", "title", "company")
        )
        features = len(self.about["continuous"]), len(self.about["categorical"])
        titles = _field("title_words", title_words, np.int32, (None, title_width))
        size = len(titles)
        if size == 0:
            raise RankingError("title_words: an empty list cannot be scored")
        companies = _field("company_words", company_words, np.int32, (size, company_width))
        dimension = self.about["dimension"]
        given = np.zeros(dimension, np.float32) if vector is None else vector
        member = _field("vector", given, np.float32, (dimension,))
        distinct_titles, title = _distinct(titles)
        distinct_companies, company = _distinct(companies)
        return self.score_documents(
            Documents(
                queries=_field("query_words", query_words, np.int32, (query_width,))[None],
                titles=distinct_titles,
                companies=distinct_companies,
                query=np.zeros(1, np.int32),
                title=title,
                company=company,
                owner=np.zeros(size, np.int32),
                continuous=_field("continuous", continuous, np.float32, (size, features[0])),
                categorical=_field("categorical", categorical, np.int32, (size, features[1])),
                vector=member[None],
                has_vector=np.array([member.any()], np.float32),
            )
        )

    def score_documents(self, documents: Documents) -> NDArray[np.float32]:
        """Return float32[m], the score of each document of a batch."""
        tensors = {name: tf.constant(array) for name, array in documents._asdict().items()}
        return self._score(**tensors)["scores"].numpy()


def score_lists(ranker: Path, lists: Path, vectors: Path, split: str) -> NDArray[np.float32]:
    """Score every document of a side's lists, in order.

    Args:
        ranker: directory written by `train_ranker`.
        lists: directory written by `build_lists`.
        vectors: directory written by `embed_examples`.
        split: "train", "validation" or "test".

    Returns:
        float32[documents].

    Raises:
        RankingError: lists of other features than the ranker's, or vectors of another encoder.
    """
    model, opened = Ranker.open(ranker), Lists.open(lists)
    for key in ("continuous", "categorical", "widths"):
        if opened.about[key] != model.about[key]:
            raise RankingError(f"{lists}: {key} differ from those that {ranker} was trained on")
    given = Vectors.open(vectors, opened)
    model.check_encoder(given.encoder)
    numbers = opened.select(split)
    scores = []
    with progress("rank", total=len(numbers)) as bar:
        for part in in_turn(numbers, batch=LISTS_AT_ONCE):
            batch = assemble(opened, part, given.rows)
            scores.append(model.score_documents(batch.documents))
            bar.advance(len(part))
    return np.concatenate(scores) if scores else np.zeros(0, np.float32)


def _field(name: str, value: ArrayLike, dtype: type, shape: tuple[int | None, ...]) -> NDArray:
    """Convert a request's field, or say which one does not fit."""
    array = np.asarray(value)
    wanted = ", ".join("L" if size is None else str(size) for size in shape)
    fits = array.ndim == len(shape) and all(
        size in (None, given) for size, given in zip(shape, array.shape, strict=True)
    )
    kinds = "iu" if dtype is np.int32 else "iuf"
    if not fits or (array.dtype.kind not in kinds and array.size):
        raise RankingError(
            f"{name}: expected {np.dtype(dtype).name}[{wanted}], "
            f"not {array.dtype.name}{list(array.shape)}"
        )
    return np.ascontiguousarray(array, dtype)


def _distinct(texts: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    rows = texts.view(np.dtype((np.void, texts.dtype.itemsize * texts.shape[1])))[:, 0]
    _, first, row = np.unique(rows, return_index=True, return_inverse=True)
    return texts[first], row.astype(np.int32)
