"""Learn to rank news: pointwise loss over lists, the weights of the best validation AUC."""

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from components.news.config import Combination, NewsConfig
from components.news.errors import NewsError
from components.news.impressions import Impressions
from components.news.lists import Pairs, clicks_to_learn, training_pairs
from components.news.metrics import figures_of, ranks_of
from components.news.model import PairScorer, pair_specs
from components.news.scoring import score_impressions
from components.news.vectors import NewsVectors
from components.ranking.batches import Scale
from components.ranking.data import scale_of
from components.ranking.keras import tf, tfr
from components.ranking.loop import Loop, Schedule

SCALED_BY = 100_000  # impressions that the vectors' scale is taken from


class TrainingSide(NamedTuple):
    """What rankers learn from, and what their weights are chosen by.

    Attributes:
        impressions: of all folds.
        vectors: of their histories and items.
        clicks: int64[c], where the clicked candidates lie that are learnt from.
        validation: int64[v], rows of impressions.
        users: scale of u.
        items: scale of v.
    """

    impressions: Impressions
    vectors: NewsVectors
    clicks: NDArray[np.int64]
    validation: NDArray[np.int64]
    users: Scale
    items: Scale

    @classmethod
    def of(cls, impressions: Impressions, vectors: NewsVectors, config: NewsConfig) -> Self:
        """Take the training fold apart.

        The latest impressions validate: like those of the dev fold, they show items that the
        earlier ones do not.

        Raises:
            NewsError: nothing was clicked beside something that was not.
        """
        rows = impressions.select("train")
        rows = rows[np.argsort(impressions.ts[rows], kind="stable")]
        kept = len(rows) - min(config.validation, len(rows) // 10)
        learnt = rows[:kept]
        clicks = clicks_to_learn(impressions, learnt)
        if not len(clicks):
            raise NewsError(
                f"none of {len(learnt)} impressions of the train fold shows an item that was "
                "clicked beside one that was not: there is nothing to learn from"
            )
        seen = learnt[:: max(1, len(learnt) // SCALED_BY)]
        users = np.unique(impressions.history[seen]).astype(np.int64)
        items = np.unique(impressions.items[impressions.positions(seen)[0]]).astype(np.int64)
        return cls(
            impressions,
            vectors,
            clicks,
            rows[kept:],
            scale_of(vectors.users, users[users < len(vectors.users) - 1]),
            scale_of(vectors.items, items[items < len(vectors.items) - 1]),
        )


class NewsTrainer(Loop):
    """A ranker of one combination, its optimiser, and the lists that it learns from."""

    def __init__(
        self, side: TrainingSide, config: NewsConfig, combination: Combination, *, seed: int
    ):
        self._side, self._config, self._seed = side, config, seed
        self._seconds, self._timed = 0.0, 0

        def build() -> PairScorer:
            return PairScorer(config, combination, side.users, side.items, seed=seed)

        self._model, self._scoring = build(), build()
        self._optimiser = tf.keras.optimizers.Adagrad(config.learning_rate)
        self._optimiser.build(self._model.trainable_variables)
        self._loss = tfr.keras.losses.SigmoidCrossEntropyLoss()
        self._score = tf.function(
            self._scoring.__call__, input_signature=[pair_specs(self._model.dimension)]
        )
        self.schedule = Schedule(
            f"rank news {combination}",
            "auc",
            config.steps,
            config.evaluate_every,
            config.patience,
            config.checkpoint_every,
            config.averaging,
        )

    @property
    def steps_per_second(self) -> float | None:
        """Steps per second of this process, evaluations and the first step not counted."""
        return self._timed / self._seconds if self._timed else None

    def steps(self, first: int) -> Iterator[float]:
        """Take one step after the other, from `first` to the last; yield each one's loss.

        Raises:
            NewsError: the loss is no longer a number.
        """
        config = self._config
        learn = tf.function(
            self._step,
            input_signature=[pair_specs(self._model.dimension), tf.TensorSpec([2], tf.int32)],
        )
        for step in range(first, config.steps):
            start = time.perf_counter()
            noise = tf.constant([self._seed % 2**31, step], tf.int32)
            loss = float(learn(_tensors(self.pairs(step)), noise))
            if step > first:  # the first is traced
                self._seconds += time.perf_counter() - start
                self._timed += 1
            if not math.isfinite(loss):
                raise NewsError(
                    f"the ranker's loss became {loss} at step {step + 1}; lower "
                    f"news.learning_rate (now {config.learning_rate})"
                )
            yield loss

    def pairs(self, step: int) -> Pairs:
        """Return the lists of a step, one behind the other."""
        side, config = self._side, self._config
        return training_pairs(
            side.impressions,
            side.clicks,
            side.vectors,
            step=step,
            batch=config.batch,
            negatives=config.negatives,
            seed=self._seed,
        )

    def evaluate(self, step: int, losses: list[float], weights: list[NDArray]) -> dict:
        """Return the mean loss of the last steps and the AUC of the validation impressions."""
        entry: dict[str, float] = {"step": step, "loss": float(np.mean(losses))}
        self.at(weights)
        scores, offsets = self.score(self._side.validation)
        positions, _ = self._side.impressions.positions(self._side.validation)
        clicked = self._side.impressions.clicked[positions] > 0
        auc = figures_of(ranks_of(scores, offsets, seed=self._seed), clicked, offsets).auc
        measured = auc[np.isfinite(auc)]
        return entry | ({"auc": float(measured.mean())} if len(measured) else {})

    def at(self, weights: list[NDArray]) -> PairScorer:
        """Return the model with given weights; `score` uses it from now on."""
        for variable, value in zip(self._scoring.variables, weights, strict=True):
            variable.assign(value)
        return self._scoring

    def score(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return scores of the candidates of impressions, and their offsets."""
        return score_impressions(
            lambda pairs: self._score(_tensors(pairs)).numpy(),
            self._side.impressions,
            rows,
            self._side.vectors,
        )

    def variables(self) -> list[Any]:
        """Return the model's variables."""
        return list(self._model.variables)

    def optimiser_variables(self) -> list[Any]:
        """Return what the optimiser keeps between steps."""
        return list(self._optimiser.variables)

    def _step(self, pairs: Pairs, noise: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            scores = tf.reshape(self._model(pairs, noise=noise), [-1, 1 + self._config.negatives])
            first = tf.one_hot(tf.zeros_like(scores[:, 0], tf.int32), 1 + self._config.negatives)
            loss = self._loss(first, scores)
        variables = self._model.trainable_variables
        gradients = tape.gradient(loss, variables)
        self._optimiser.apply_gradients(zip(gradients, variables, strict=True))
        return loss


def _tensors(pairs: Pairs) -> Pairs:
    return tf.nest.map_structure(tf.constant, pairs)
