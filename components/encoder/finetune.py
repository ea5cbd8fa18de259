"""Fine-tuning end to end: encoder and label layer learn a member's entities together."""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from components.encoder.batching import contexts, epoch_order, pack
from components.encoder.config import EncoderConfig, FinetuneConfig
from components.encoder.errors import EncoderError
from components.encoder.heads import LabelLayer
from components.encoder.model import Bert, Packed, pooled_layers
from components.encoder.training import train, write_log
from components.encoder.weights import cpu_state, load_encoder, save_encoder
from components.labels.examples import Examples
from components.text.documents import Tokens

TRAIN, VALIDATION = "train", "validation"
VALIDATION_EXAMPLES = 512

logger = logging.getLogger(__name__)


def finetune(
    pretrained: Path,
    tokens: Path,
    examples: Path,
    target: Path,
    *,
    config: FinetuneConfig,
    seed: int,
    checkpoints: Path,
) -> list[dict]:
    """Train a pre-trained encoder as a multi-label classifier and write it to `target`.

    Args:
        pretrained: encoder directory written by `pretrain`.
        tokens: directory written by `write_tokens`.
        examples: directory written by `build_examples`.
        target: encoder directory to write; its label layer is kept beside the encoder's weights.
        config: training settings.
        seed: of order, dropout and sampled labels.
        checkpoints: directory where an interrupted run left its state.

    Returns:
        The training log, also written as `target/log.jsonl`.

    Raises:
        EncoderError: there is nothing to learn from, or tokens of another vocabulary.

    Source: paper, sections 3.4 and 5.1.
    """
    stored = load_encoder(pretrained)
    corpus, data = Tokens.open(tokens), Examples.open(examples)
    if corpus.vocabulary != stored.vocabulary.hash:
        raise EncoderError(f"{tokens}: tokenised with another vocabulary than {pretrained}")
    torch.manual_seed(seed)
    task = LabelTask(stored.bert, stored.vocabulary.cls, corpus, data, config, seed=seed)
    facts = [stored.version, len(data.label_texts), task.steps, config.model_dump(), seed]
    log = train(
        task,
        config,
        description="fine-tune",
        seed=seed,
        checkpoints=checkpoints,
        identity=hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest(),
    )
    written = write_log(log, checkpoints / "log.jsonl")
    save_encoder(
        target,
        cpu_state(task.module),
        stored.bert.config,
        pretrained,
        pooling=config.pooling,
        log=written,
    )
    return log


class LabelledBatch(NamedTuple):
    """Contexts and what their members did.

    Attributes:
        packed: the contexts.
        positive: int64[2, P], (document, label) of every positive.
        sampled: int64[S], labels of the shortlist loss; empty for the full loss.
    """

    packed: Packed
    positive: Tensor
    sampled: Tensor


class Classifier(nn.Module):
    """An encoder with a label layer."""

    def __init__(self, bert: Bert, labels: LabelLayer):
        super().__init__()
        self.bert, self.labels = bert, labels


class LabelTask:
    """Extreme multi-label classification of contexts.

    Args:
        bert: pre-trained encoder.
        cls: id of [CLS].
        corpus: documents.
        data: examples and labels.
        config: training settings.
        seed: of order and sampled labels.

    Raises:
        EncoderError: no training example has a label.
    """

    def __init__(
        self,
        bert: Bert,
        cls: int,
        corpus: Tokens,
        data: Examples,
        config: FinetuneConfig,
        *,
        seed: int,
    ):
        self._config, self._cls, self._seed = config, cls, seed
        self._size: EncoderConfig = bert.config
        self._rows, self._labels = data.select(config.dataset, TRAIN)
        self._held_out = data.select(config.dataset, VALIDATION)
        if not len(self._rows):
            raise EncoderError(f"no training example has a label of {config.dataset}")
        self._contexts = contexts(corpus, data, limit=bert.config.max_tokens - 1)
        prior = np.asarray(self._labels.astype(bool).sum(0)).ravel() / len(self._rows)
        self.module = Classifier(
            bert,
            LabelLayer(
                pooled_layers(bert.config, config.pooling) * bert.config.hidden,
                torch.from_numpy(prior),
                dropout=config.label_dropout,
                chunk=config.label_chunk,
            ),
        )
        self.steps = max(1, math.ceil(config.epochs * len(self._rows) / config.batch))
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def batch(self, step: int, part: int) -> LabelledBatch:
        """Return the contexts of one forward pass."""
        size = self._config.batch // self._config.accumulate
        first = step * self._config.batch + part * size
        epochs, places = np.divmod(np.arange(first, first + size), len(self._rows))
        chosen = np.array([self._row(int(e), int(p)) for e, p in zip(epochs, places, strict=True)])
        sampled = np.empty(0, np.int64)
        if self._config.loss == "shortlist":
            draw = np.random.default_rng([self._seed, step, part])
            sampled = draw.integers(self._labels.shape[1], size=self._config.shortlist)
        return self._batch(self._rows, self._labels, chosen, sampled)

    def loss(
        self, batch: LabelledBatch, device: torch.device, *, step: Sequence[LabelledBatch]
    ) -> Tensor:
        """Return the loss over all labels or over the shortlist."""
        packed, positive = batch.packed.to(device), batch.positive.to(device)
        pooled = self.module.bert.pooled(packed, self._config.pooling)
        if len(batch.sampled):
            sampled = batch.sampled.to(device)
            return self.module.labels.shortlist_loss(pooled, positive, sampled) / len(step)
        return self.module.labels.loss(pooled, positive) / len(step)

    def work(self, batch: LabelledBatch) -> tuple[int, float]:
        """Return real tokens and training operations (three times those of a forward pass)."""
        size, tokens = self._size, len(batch.packed.ids)
        dense = size.layers * (4 * size.hidden**2 + 2 * size.hidden * size.feed_forward)
        attention = 2 * size.layers * size.hidden * sum(n * n for n in batch.packed.lengths)
        scores = len(batch.packed.lengths) * self.module.labels.weight.numel()
        return tokens, 6.0 * (tokens * dense + attention + scores)

    def validate(self, device: torch.device) -> dict[str, float]:
        """Return loss and precision at 1 on validation members."""
        rows, labels = self._held_out
        count = min(len(rows), VALIDATION_EXAMPLES)
        if not count:
            return {}
        chosen = epoch_order(len(rows), epoch=0, seed=self._seed)[:count]
        size, total, hits = self._config.batch, 0.0, 0
        for start in range(0, count, size):
            part = chosen[start : start + size]
            batch = self._batch(rows, labels, part, np.empty(0, np.int64))
            packed = batch.packed.to(device)
            pooled = self.module.bert.pooled(packed, self._config.pooling)
            loss = self.module.labels.loss(pooled, batch.positive.to(device))
            # scipy indexes by arrays that own their memory only.
            best = np.array(self.module.labels(pooled).argmax(1).cpu())
            total += loss.item() * len(part)
            hits += int(np.asarray(labels[part, best]).astype(bool).sum())
        return {"validation_loss": total / count, "validation_p@1": hits / count}

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the encoder's parameters and the label layer's, each with its learning rate."""
        return [
            (list(self.module.bert.parameters()), self._config.learning_rate),
            (list(self.module.labels.parameters()), self._config.label_learning_rate),
        ]

    def _row(self, epoch: int, place: int) -> int:
        if self._order[0] != epoch:
            self._order = (epoch, epoch_order(len(self._rows), epoch=epoch, seed=self._seed))
        return int(self._order[1][place])

    def _batch(
        self, rows: np.ndarray, labels: sp.csr_matrix, chosen: np.ndarray, sampled: np.ndarray
    ) -> LabelledBatch:
        positive = np.stack(labels[chosen].nonzero()).astype(np.int64)
        documents = [self._contexts(int(row)) for row in rows[chosen]]
        return LabelledBatch(
            pack(documents, self._cls), torch.from_numpy(positive), torch.from_numpy(sampled)
        )
