"""Learn to rank: softmax loss over lists, the best checkpoint by validation NDCG."""

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.baselines.fasttext import WordVectors
from components.encoder.vectors import ABOUT as VECTORS_ABOUT
from components.files import whole_directory
from components.ranking import checkpoint
from components.ranking.batches import Batch, assemble, in_turn, training_batch
from components.ranking.config import RankerConfig
from components.ranking.data import TrainingData
from components.ranking.errors import RankingError
from components.ranking.export import export
from components.ranking.keras import tf, tfr
from components.ranking.loop import Loop, Schedule
from components.ranking.model import DeepAndWide, batch_specs, document_specs

ABOUT, LOG, SAVED_MODEL = "ranker.json", "log.jsonl", "saved_model"
LISTS_AT_ONCE = 256

logger = logging.getLogger(__name__)


def train_ranker(
    lists: Path,
    vectors: Path,
    target: Path,
    config: RankerConfig,
    *,
    tower: bool,
    words: Path | None,
    seed: int,
    checkpoints: Path | None,
) -> dict:
    """Train a ranker on training members' lists and keep it at its best on validation members'.

    Writes `saved_model/` (signatures `serving_default`, `tensorflow/serving/predict` and
    `documents`, see `export`), `ranker.json` (configuration, features, the vectors' encoder,
    validation NDCG) and `log.jsonl` ({step, loss, validation_loss, ndcg}); all or nothing. Lists
    without any gain teach nothing and are left out.

    SIGTERM and Ctrl-C write a checkpoint and leave with 128 + the signal's number, which
    schedulers take as a wish to be restarted; the resumed run ends with the same weights as one
    that was not stopped. Two runs with one seed on equal machines end with equal weights.

    Args:
        lists: directory written by `build_lists`; nothing is learnt from an empty one, and the
            target is empty too.
        vectors: directory written by `embed_examples`.
        target: directory to write.
        config: shape and training.
        tower: whether the model reads the activity vector.
        words: fastText directory whose vectors the words start from where the dimensions agree.
        seed: of weights, order and dropout.
        checkpoints: directory for the checkpoint; none are kept when None. Processes of one
            `multi_worker` run share it.

    Returns:
        {"ndcg": best on validation lists, None without any, "step": of it, "steps": done,
        "lists": learnt from}; empty for empty lists.

    Raises:
        RankingError: no list to learn from, vectors that do not fit the lists, a damaged
            checkpoint, or a loss that is no longer a number.
    """
    if not any(lists.iterdir()):
        with whole_directory(target):
            return {}
    tf.random.set_seed(seed)
    tf.config.experimental.enable_op_determinism()
    data = TrainingData.open(lists, vectors, config)
    trainer = Trainer(data, config, tower=tower, words=words, seed=seed)
    about = [config.model_dump(exclude={"checkpoint_every"}), tower, seed, str(words)]
    of = checkpoint.identity(
        about, [lists / "about.json", lists / "gains.npy", vectors / VECTORS_ABOUT]
    )
    end = trainer.run(checkpoints, of)
    summary = {
        "ndcg": end.best_entry.get("ndcg"),
        "step": end.best_entry["step"],
        "steps": end.step,
        "lists": len(data.training),
    }
    if trainer.is_chief:
        with whole_directory(target) as directory:
            export(trainer.at(end.best), data.sizes, directory / SAVED_MODEL)
            lines = "".join(json.dumps(entry) + "\n" for entry in end.log)
            (directory / LOG).write_text(lines)
            record = {
                **summary,
                "tower": tower,
                "seed": seed,
                "encoder": data.vectors.encoder if tower else None,
                "dimension": data.sizes.vector,
                "list_size": config.list_size,
                **{key: data.lists.about[key] for key in ("continuous", "categorical", "widths")},
                "config": config.model_dump(),
            }
            (directory / ABOUT).write_text(json.dumps(record, indent=2) + "\n")
    logger.info("ranker tower=%s ndcg=%s step=%d", tower, summary["ndcg"], summary["step"])
    return summary


class Trainer(Loop):
    """A model, its optimiser and the lists that it learns from."""

    def __init__(
        self,
        data: TrainingData,
        config: RankerConfig,
        *,
        tower: bool,
        words: Path | None = None,
        seed: int,
    ):
        """Build the first weights under the configured strategy; arguments as `train_ranker`'s.

        A strategy over several processes has to come before TensorFlow computes anything.
        """
        strategy = _strategy(config)
        self._data, self._config, self._strategy, self._seed = data, config, strategy, seed
        started = None if words is None else _start_words(words, data.lists.words, config, seed)

        def build() -> DeepAndWide:
            return DeepAndWide(
                config,
                data.sizes,
                tower=tower,
                features=data.features,
                vectors=data.activity,
                words=started,
                seed=seed,
            )

        with strategy.scope():
            self._model = build()
            self._optimiser = tf.keras.optimizers.Adagrad(
                config.learning_rate, weight_decay=config.weight_decay or None
            )
            self._optimiser.build(self._model.trainable_variables)
        # Validation, and what is exported, are computed by a copy that no strategy shares out, so
        # that all workers see equal figures and stop at the same step.
        self._scoring = build()
        self._loss = tfr.keras.losses.SoftmaxLoss(reduction=tf.keras.losses.Reduction.SUM)
        documents = document_specs(data.sizes)
        self._score = tf.function(self._scoring.__call__, input_signature=[documents])
        resolver = strategy.cluster_resolver
        self.is_chief = resolver is None or not resolver.task_type or resolver.task_id == 0
        self.schedule = Schedule(
            "ranker",
            "ndcg",
            config.steps,
            config.evaluate_every,
            config.patience,
            config.checkpoint_every,
            config.averaging,
            together=config.strategy == "multi_worker",
        )

    def at(self, weights: list[NDArray]) -> DeepAndWide:
        """Return the model with given weights, apart from any strategy."""
        for variable, value in zip(self._scoring.variables, weights, strict=True):
            variable.assign(value)
        return self._scoring

    def variables(self) -> list[Any]:
        """Return the model's variables."""
        return list(self._model.variables)

    def optimiser_variables(self) -> list[Any]:
        """Return what the optimiser keeps between steps."""
        return list(self._optimiser.variables)

    def steps(self, first: int) -> Iterator[float]:
        """Take one step after the other, from `first` to the last; yield each one's loss.

        Raises:
            RankingError: the loss is no longer a number.
        """
        batches, specs = self.batches(first)
        learn = self.compiled(specs)
        for step, batch in zip(range(first, self._config.steps), batches, strict=False):
            loss = float(learn(batch, tf.constant([self._seed % 2**31, step], tf.int32)))
            if not math.isfinite(loss):
                raise RankingError(
                    f"the ranker's loss became {loss} at step {step + 1}; lower learning_rate "
                    f"(now {self._config.learning_rate})"
                )
            yield loss

    def compiled(self, specs: Any) -> Callable[[Any, tf.Tensor], tf.Tensor]:
        """Return a step, from a batch of a specification and int32[2] of noise to the loss.

        It is traced once for batches of all sizes; or else workers might trace at different steps,
        each waiting for collective operations that the other does not yet know.
        """
        return tf.function(self._shared_step, input_signature=[specs, tf.TensorSpec([2], tf.int32)])

    def batches(self, first: int) -> tuple[Iterable[Any], Any]:
        """Return what each step from `first` on learns from, and its specification."""
        specs = batch_specs(self._data.sizes)
        if self._config.strategy == "none":
            whole = (self._batch(step, 0, 1) for step in count(first))
            return (tf.nest.map_structure(tf.constant, batch) for batch in whole), specs

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            replicas = context.num_replicas_in_sync
            own = replicas // context.num_input_pipelines
            start = context.input_pipeline_id * own

            def generate() -> Iterator[Batch]:
                for step in count(first):
                    for replica in range(start, start + own):
                        yield self._batch(step, replica, replicas)

            endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
            return tf.data.Dataset.from_generator(generate, output_signature=specs).apply(endless)

        shared = self._strategy.distribute_datasets_from_function(of_worker)
        return shared, shared.element_spec

    def _batch(self, step: int, replica: int, replicas: int) -> Batch:
        return training_batch(
            self._data.lists,
            self._data.training,
            self._data.vectors.rows,
            step=step,
            batch=self._config.batch,
            share=(replica, replicas),
            list_size=self._config.list_size,
            drop_vectors=self._config.drop_vectors,
            seed=self._seed,
        )

    def _shared_step(self, batch: Any, noise: tf.Tensor) -> tf.Tensor:
        losses = self._strategy.run(self._replica_step, args=(batch, noise))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _replica_step(self, batch: Batch, noise: tf.Tensor) -> tf.Tensor:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        noise += tf.stack([tf.cast(replica, tf.int32) * 1000, 0])
        with tf.GradientTape() as tape:
            scores = self._model(batch.documents, noise=noise)
            at = tf.stack([batch.documents.owner, batch.place], 1)
            logits = tf.scatter_nd(at, scores, tf.shape(batch.gains))
            loss = self._loss(batch.gains, logits) / self._config.batch
        variables = self._model.trainable_variables
        gradients = tape.gradient(loss, variables)
        self._optimiser.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    def evaluate(self, step: int, losses: list[float], weights: list[NDArray]) -> dict:
        """Return the mean loss of the last steps, and loss and NDCG of the validation lists."""
        entry: dict[str, float] = {"step": step, "loss": float(np.mean(losses))}
        if not len(self._data.validation):
            return entry
        self.at(weights)
        ndcg = tfr.keras.metrics.NDCGMetric(topn=self._config.topn)
        loss = 0.0
        for numbers in in_turn(self._data.validation, batch=LISTS_AT_ONCE):
            batch = assemble(self._data.lists, numbers, self._data.vectors.rows)
            scores = self._score(tf.nest.map_structure(tf.constant, batch.documents)).numpy()
            padded = np.zeros_like(batch.gains)
            padded[batch.documents.owner, batch.place] = scores
            ndcg.update_state(batch.gains, padded)
            loss += float(self._loss(batch.gains, padded))
        validation_loss = loss / len(self._data.validation)
        return entry | {"validation_loss": validation_loss, "ndcg": float(ndcg.result())}


def _strategy(config: RankerConfig) -> tf.distribute.Strategy:
    if config.strategy == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
    elif config.strategy == "multi_worker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    if config.batch % replicas:
        raise RankingError(f"batch {config.batch} cannot be shared evenly by {replicas} replicas")
    return strategy


def _start_words(
    directory: Path, words: list[str], config: RankerConfig, seed: int
) -> NDArray[np.float32] | None:
    known = WordVectors.load(directory)
    if known.dimension != config.word_dimension:
        logger.warning(
            "words=%s dimension=%d is not word_dimension=%d, drawing them",
            directory,
            known.dimension,
            config.word_dimension,
        )
        return None
    drawn = np.random.default_rng([seed, 1]).standard_normal((len(words), known.dimension))
    vectors = (drawn * known.dimension**-0.5).astype(np.float32)
    rows = np.array([known.words.get(word, -1) for word in words])
    vectors[rows >= 0] = known.unit[rows[rows >= 0]]
    return vectors
