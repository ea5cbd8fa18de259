"""fastText+e2e and CNN+e2e: networks over word vectors, trained end to end on members' labels.

Both start from fastText's word vectors and end in a layer with one sigmoid unit per label, that of
the encoder; like BERT+e2e one network, trained on one data set, answers for all of them. For the
CNN the paper says that its words are "initialized with" fastText vectors, so it trains them;
fastText+e2e has them "as input representation", so its input is the very vector of fastText+Slice
and their difference is due to what follows it.

Source: paper, section 5.1 ("Baseline models, trained end to end").
"""

import copy
import hashlib
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.baselines.config import BaselinesConfig, EndToEndConfig
from components.baselines.contexts import context_words
from components.baselines.errors import BaselineError
from components.baselines.fasttext import WordVectors, context_vectors
from components.baselines.floors import Ranking
from components.baselines.linear import linear_predictor
from components.baselines.networks import Body, Convolutions, FeedForward, MeanVectors, TextReader
from components.baselines.predictions import Rank, rank_test_rows, write_predictions
from components.encoder.batching import epoch_order
from components.encoder.heads import LabelLayer
from components.encoder.training import train
from components.labels.examples import Examples

FASTTEXT, CNN = "fastText+e2e", "CNN+e2e"
VALIDATION_EXAMPLES = 2000
ROWS_AT_ONCE = 64

logger = logging.getLogger(__name__)


class Inputs(NamedTuple):
    """Outputs of earlier steps.

    Attributes:
        sessions: directory of session parts.
        examples: contexts and labels.
        words: word vectors trained on action sequences.
    """

    sessions: Path
    examples: Path
    words: Path


def train_end_to_end(
    method: str,
    inputs: Inputs,
    target: Path,
    config: BaselinesConfig,
    *,
    members: int,
    depth: int,
    seed: int,
    checkpoints: Path,
) -> list[dict]:
    """Train fastText+e2e or CNN+e2e and write its predictions for the test members.

    Args:
        method: `FASTTEXT` or `CNN`.
        inputs: what to learn from.
        target: directory to write; see `write_predictions`.
        config: sizes and training settings.
        members: most test members of a data set (`EvaluationConfig.members`).
        depth: labels per member (`EvaluationConfig.depth`).
        seed: of the draw of test members, of weights, order and dropout.
        checkpoints: directory where an interrupted run left its state.

    Returns:
        The training log.

    Raises:
        BaselineError: there is nothing to learn from, or the inputs do not fit each other.
    """
    started = time.monotonic()
    words, data = WordVectors.load(inputs.words), Examples.open(inputs.examples)
    own: EndToEndConfig = config.cnn if method == CNN else config.words_end_to_end
    torch.manual_seed(seed)
    body, reader = _BUILD[method](words, data, inputs.sessions, config)
    task = _LabelTask(body, reader, data, own, seed=seed)
    log = train(
        task,
        own,
        description=f"train {method}",
        seed=seed,
        checkpoints=checkpoints,
        identity=_identity(method, words, data, own, seed),
    )
    best = task.module.best
    datasets = rank_test_rows(best.ranked(reader), data, members=members, depth=depth, seed=seed)
    about = {
        "seconds": time.monotonic() - started,
        "parameters": sum(parameter.numel() for parameter in best.parameters()),
    }
    if "validation_p@1" in log[-1]:
        about["validation_p@1"] = task.module.precision.item()
    write_predictions(target, method, datasets, about)
    logger.info("method=%s %s", method, " ".join(f"{k}={v:.6g}" for k, v in about.items()))
    return log


class Reader(Protocol):
    """Reads what a network is given of examples."""

    def read(self, rows: NDArray[np.int64], /) -> Any:
        """Return the input of examples, on the host; it has `to(device)`."""


def _over_means(
    words: WordVectors, data: Examples, sessions: Path, config: BaselinesConfig
) -> tuple[Body, Reader]:
    vectors = context_vectors(words, sessions, **_contexts_of(data))
    network = FeedForward(words.dimension, config.words_end_to_end.units)
    return network, MeanVectors(vectors)


def _over_texts(
    words: WordVectors, data: Examples, sessions: Path, config: BaselinesConfig
) -> tuple[Body, Reader]:
    own = config.cnn
    texts = context_words(words.word_ids, sessions, **_contexts_of(data), limit=own.words)
    network = Convolutions(words.unit, widths=own.widths, filters=own.filters, units=own.units)
    return network, TextReader(texts, padding=network.padding, widest=max(own.widths))


_BUILD = {FASTTEXT: _over_means, CNN: _over_texts}


def _contexts_of(data: Examples) -> dict[str, NDArray]:
    return {
        "member_ids": data.table["member_id"],
        "first_session": data.table["first_session"],
        "context_end": data.table["context_end"],
    }


def _identity(
    method: str, words: WordVectors, data: Examples, config: EndToEndConfig, seed: int
) -> str:
    """Tell this run's checkpoint from that of other data or settings."""
    facts = [
        method,
        words.version,
        data.label_texts,
        data.table["member_id"].tolist(),
        data.table["context_end"].tolist(),
        config.model_dump(),
        seed,
    ]
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


class _Classifier(nn.Module):
    """A network over words with a label layer."""

    def __init__(self, body: Body, labels: LabelLayer):
        super().__init__()
        self.body, self.labels = body, labels

    def ranked(self, reader: Reader) -> Rank:
        """Return what ranks labels by this network as it is now, on the CPU."""
        weight, bias = (part.detach().numpy() for part in (self.labels.weight, self.labels.bias))

        def rank(rows: NDArray[np.int64], k: int, exclude: sp.csr_matrix | None) -> Ranking:
            with torch.no_grad():
                features = self.labels.features(self.body(reader.read(rows))).numpy()
            return linear_predictor(features, weight, bias)(np.arange(len(rows)), k, exclude)

        return rank


class _Kept(nn.Module):
    """A network in training, and as it was when it served validation members best.

    Both are in the module's state, so that a run that was interrupted still knows its best.
    """

    precision: Tensor

    def __init__(self, network: _Classifier):
        super().__init__()
        self.network = network
        self.best = copy.deepcopy(network).requires_grad_(False).eval()
        self.register_buffer("precision", torch.tensor(-1.0))

    def train(self, mode: bool = True) -> "_Kept":
        super().train(mode)
        self.best.eval()
        return self

    def offer(self, precision: float) -> None:
        """Keep the network as it is now, unless it was better before."""
        if precision >= self.precision:
            self.best.load_state_dict(self.network.state_dict())
            self.precision.fill_(precision)


class _LabelTask:
    """Extreme multi-label classification of contexts by a network over words."""

    def __init__(
        self, body: Body, reader: Reader, data: Examples, config: EndToEndConfig, *, seed: int
    ):
        self._reader, self._config, self._seed = reader, config, seed
        self._rows, self._labels = data.select(config.dataset, "train")
        self._held_out = data.select(config.dataset, "validation")
        if not len(self._rows):
            raise BaselineError(f"no training example has a label of {config.dataset}")
        prior = np.asarray(self._labels.sum(0)).ravel() / len(self._rows)
        labels = LabelLayer(
            body.dimension,
            torch.from_numpy(prior),
            dropout=config.dropout,
            chunk=config.label_chunk,
        )
        self.module = _Kept(_Classifier(body, labels))
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))
        self.steps = max(1, math.ceil(config.epochs * len(self._rows) / config.batch))

    def batch(self, step: int, part: int) -> tuple[Any, Tensor]:
        """Return the input of one forward pass, and int64[2, P], (example, label) of positives."""
        size = self._config.batch // self._config.accumulate
        first = step * self._config.batch + part * size
        epochs, places = np.divmod(np.arange(first, first + size), len(self._rows))
        chosen = np.array(
            [self._row(int(epoch), int(place)) for epoch, place in zip(epochs, places, strict=True)]
        )
        positive = np.stack(self._labels[chosen].nonzero()).astype(np.int64)
        return self._reader.read(self._rows[chosen]), torch.from_numpy(positive)

    def loss(
        self, batch: tuple[Any, Tensor], device: torch.device, *, step: Sequence[Any]
    ) -> Tensor:
        """Return the binary cross-entropy over all labels."""
        inputs, positive = (part.to(device) for part in batch)
        network = self.module.network
        return network.labels.loss(network.body(inputs), positive) / len(step)

    def work(self, batch: tuple[Any, Tensor]) -> tuple[int, float]:
        """Return words or examples, and operations that training on them takes."""
        return self.module.network.body.work(batch[0])

    def validate(self, device: torch.device) -> dict[str, float]:
        """Return precision at 1 on validation members, and keep the network if it is the best."""
        rows, labels = self._held_out
        rows, labels = rows[:VALIDATION_EXAMPLES], labels[:VALIDATION_EXAMPLES]
        network, found = self.module.network, 0
        for start in range(0, len(rows), ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            scores = network.labels(network.body(self._reader.read(rows[block]).to(device)))
            # scipy indexes by arrays that own their memory only.
            first = np.array(scores.argmax(1).cpu())
            found += int(np.asarray(labels[block][np.arange(len(first)), first]).sum())
        precision = found / max(1, len(rows))
        self.module.offer(precision)
        return {"validation_p@1": precision} if len(rows) else {}

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the network's parameters and the label layer's, each with its learning rate."""
        network = self.module.network
        return [
            (list(network.body.parameters()), self._config.learning_rate),
            (list(network.labels.parameters()), self._config.label_learning_rate),
        ]

    def _row(self, epoch: int, place: int) -> int:
        if self._order[0] != epoch:  # drawn once an epoch, not in each of its steps
            self._order = (epoch, epoch_order(len(self._rows), epoch=epoch, seed=self._seed))
        return int(self._order[1][place])
