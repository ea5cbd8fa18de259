"""Pre-training from scratch: masked words and, when asked for, the next segment."""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from components.encoder.batching import Chunks, cut_chunks, epoch_order, pack
from components.encoder.config import EncoderConfig, PretrainConfig
from components.encoder.errors import EncoderError
from components.encoder.heads import MaskedLanguageModel
from components.encoder.masking import mask_words
from components.encoder.model import Bert, Packed
from components.encoder.parallel import ALONE, Group
from components.encoder.training import train, write_log
from components.encoder.weights import cpu_state, save_encoder
from components.text.documents import Tokens
from components.text.vocabulary import Vocabulary

TRAIN, VALIDATION = 0, 1
VALIDATION_CHUNKS = 256

logger = logging.getLogger(__name__)


def pretrain(
    tokens: Path,
    vocabulary: Path,
    target: Path,
    *,
    encoder: EncoderConfig,
    config: PretrainConfig,
    seed: int,
    checkpoints: Path,
    group: Group = ALONE,
) -> list[dict]:
    """Train an encoder on the documents of the training members and write it to `target`.

    Args:
        tokens: directory written by `write_tokens`.
        vocabulary: directory written by `train_vocabulary`.
        target: encoder directory to write, readable by `transformers.BertModel`.
        encoder: sizes.
        config: training settings.
        seed: of initial weights, order, masking and dropout.
        checkpoints: directory where an interrupted run left its state.
        group: processes that train together, each called with the same arguments; the first of
            them writes.

    Returns:
        The training log, also written as `target/log.jsonl`.

    Raises:
        EncoderError: no training member has a document, tokens of another vocabulary, or a batch
            that cannot be spread evenly over the processes.

    Source: paper, sections 3.3 and 5.1.
    """
    corpus, words = Tokens.open(tokens), Vocabulary.load(vocabulary)
    if corpus.vocabulary != words.hash:
        raise EncoderError(f"{tokens}: tokenised with another vocabulary than {vocabulary}")
    if config.batch % (config.accumulate * group.size):
        raise EncoderError(
            f"pretrain.batch {config.batch} is not a multiple of accumulate {config.accumulate} x "
            f"{group.size} processes"
        )
    torch.manual_seed(seed)
    task = MaskedLanguageTask(corpus, words, encoder, config, seed=seed, group=group)
    if not len(task.chunks):
        raise EncoderError(f"{tokens}: no training member has a document to learn from")
    facts = [corpus.vocabulary, len(task.chunks), encoder.model_dump(), config.model_dump(), seed]
    log = train(
        task,
        config,
        description="pre-train",
        seed=seed,
        checkpoints=checkpoints,
        identity=hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest(),
        group=group,
    )
    if group.rank == 0:
        written = write_log(log, checkpoints / "log.jsonl")
        save_encoder(target, cpu_state(task.module), encoder, vocabulary, log=written)
    return log


class Example(NamedTuple):
    """One batch of masked documents.

    Attributes:
        packed: what the model sees.
        masked: int64[M], positions to predict.
        words: int64[M], what stood there.
        random_next: int64[B], 1 where the second segment is of another document.
    """

    packed: Packed
    masked: Tensor
    words: Tensor
    random_next: Tensor


class MaskedLanguageTask:
    """Masked-language modelling over chunks of two segments.

    Args:
        corpus: documents.
        vocabulary: their subwords.
        encoder: sizes.
        config: training settings.
        seed: of weights, order and masking.
        group: processes that each take a share of a step's documents.
    """

    def __init__(
        self,
        corpus: Tokens,
        vocabulary: Vocabulary,
        encoder: EncoderConfig,
        config: PretrainConfig,
        *,
        seed: int,
        group: Group = ALONE,
    ):
        self._corpus, self._vocabulary, self._encoder = corpus, vocabulary, encoder
        self._config, self._seed, self._group = config, seed, group
        limit = encoder.max_tokens - 1
        self.chunks = cut_chunks(corpus, limit=limit, split=TRAIN, seed=seed)
        self._held_out = cut_chunks(corpus, limit=limit, split=VALIDATION, seed=seed)
        self.module: MaskedLanguageModel = MaskedLanguageModel(
            Bert(encoder, vocabulary.size), next_sentence=config.next_sentence
        )
        visits = config.epochs * config.dupe_factor * len(self.chunks)
        self.steps = max(1, math.ceil(visits / config.batch))
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def batch(self, step: int, part: int) -> Example:
        """Return the masked chunks of one forward pass of this process."""
        size = self._config.batch // (self._config.accumulate * self._group.size)
        place = part * self._group.size + self._group.rank
        first = step * self._config.batch + place * size
        visits = np.arange(first, first + size)
        epochs, places = np.divmod(visits, len(self.chunks))
        rows = np.array([self._row(int(e), int(p)) for e, p in zip(epochs, places, strict=True)])
        return self._example(self.chunks, rows, epochs % self._config.dupe_factor)

    def loss(self, batch: Example, device: torch.device, *, step: Sequence[Example]) -> Tensor:
        """Return the masked-word loss, plus that of the next segment when it is learnt."""
        words = self._group.total(torch.tensor(sum(len(part.masked) for part in step)))
        return self._loss(batch, device, words=int(words), parts=len(step) * self._group.size)

    def _loss(self, batch: Example, device: torch.device, *, words: int, parts: int) -> Tensor:
        packed = batch.packed.to(device)
        (hidden,) = self.module.bert(packed)
        loss = self.module.masked_loss(hidden, batch.masked.to(device), batch.words.to(device))
        loss = loss * (len(batch.masked) / max(1, words))
        if self._config.next_sentence:
            starts = packed.offsets[:-1].long()
            random_next = batch.random_next.to(device)
            next_loss = self.module.next_sentence_loss(hidden, starts, random_next)
            loss = loss + next_loss / parts
        return loss

    def work(self, batch: Example) -> tuple[int, float]:
        """Return real tokens and training operations (three times those of a forward pass)."""
        size = self._encoder
        tokens = len(batch.packed.ids)
        dense = size.layers * (4 * size.hidden**2 + 2 * size.hidden * size.feed_forward)
        attention = 2 * size.layers * size.hidden * sum(n * n for n in batch.packed.lengths)
        scores = len(batch.masked) * size.hidden * (self._vocabulary.size + size.hidden)
        return tokens, 6.0 * (tokens * dense + attention + scores)

    def validate(self, device: torch.device) -> dict[str, float]:
        """Return the mean loss on validation members, always masked alike."""
        count = min(len(self._held_out), VALIDATION_CHUNKS)
        if not count:
            return {}
        rows = epoch_order(len(self._held_out), epoch=0, seed=self._seed)[:count]
        size = self._config.batch // self._config.accumulate
        total = masked = 0.0
        for start in range(0, count, size):
            part = rows[start : start + size]
            example = self._example(self._held_out, part, np.zeros(len(part), np.int64))
            words = len(example.masked)
            total += self._loss(example, device, words=words, parts=1).item() * words
            masked += words
        return {"validation_loss": total / max(1.0, masked)}

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return all parameters at one learning rate."""
        return [(list(self.module.parameters()), self._config.learning_rate)]

    def _row(self, epoch: int, place: int) -> int:
        if self._order[0] != epoch:
            self._order = (epoch, epoch_order(len(self.chunks), epoch=epoch, seed=self._seed))
        return int(self._order[1][place])

    def _example(self, chunks: Chunks, rows: np.ndarray, dupes: np.ndarray) -> Example:
        documents, cuts, places, random_next = [], [], [], np.zeros(len(rows), np.int64)
        for index, (row, dupe) in enumerate(zip(rows, dupes, strict=True)):
            first, second = self._segments(chunks, int(row))
            if self._config.next_sentence and len(chunks) > 1:
                draw = np.random.default_rng([self._seed, int(dupe), int(row)])
                if draw.random() < 0.5 or not len(first) or not len(second):
                    other = (int(row) + int(draw.integers(1, len(chunks)))) % len(chunks)
                    first, second = self._with_random_next(first, second, chunks, other)
                    random_next[index] = 1
            document = np.concatenate([first, second])
            documents.append(document)
            cuts.append(len(first))
            place = (int(chunks.shard[row]) << 44) + (int(dupe) << 38) + int(chunks.start[row])
            # The place of [CLS] is never drawn for: it stands for no word.
            places.append(place + np.arange(-1, len(document), dtype=np.int64))
        packed = pack(documents, self._vocabulary.cls, cuts)
        masked = mask_words(
            packed.ids.numpy(),
            np.concatenate(places).astype(np.uint64),
            self._vocabulary,
            share=self._config.mask_share,
            seed=self._seed,
        )
        return Example(
            packed._replace(ids=torch.from_numpy(masked.ids)),
            torch.from_numpy(masked.positions),
            torch.from_numpy(masked.words),
            torch.from_numpy(random_next),
        )

    def _with_random_next(
        self, first: np.ndarray, second: np.ndarray, chunks: Chunks, other: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Follow the first segment, or a chunk of one, by a segment of another chunk."""
        limit = self._encoder.max_tokens - 1
        theirs = self._segments(chunks, other)
        random = theirs[1] if len(theirs[1]) else theirs[0]
        first = first if len(first) else second
        random = random[: max(limit - len(first), limit // 2)]
        return first[: limit - len(random)], random

    def _segments(self, chunks: Chunks, row: int) -> tuple[np.ndarray, np.ndarray]:
        shard = self._corpus.shards[chunks.shard[row]].tokens
        start, cut, end = chunks.start[row], chunks.cut[row], chunks.end[row]
        return shard[start:cut], shard[cut:end]
