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


class _Side(NamedTuple):
    """Chunks of one split; `starts` int64[documents + 1], the chunk each document begins with."""

    chunks: Chunks
    starts: np.ndarray


class MaskedLanguageTask:
    """Masked-language modelling over chunks of two segments.

    A segment is one session or several, whole ones: in news, where a click is a session, one
    item or several. With `config.next_sentence` half of the second segments, and all behind a
    chunk of one session, come from another member's document and are about as long as what they
    replace, so that only their content gives them away.

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
        self._learnt, self._held_out = (self._side(split) for split in (TRAIN, VALIDATION))
        self.chunks = self._learnt.chunks
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
        return self._example(self._learnt, rows, epochs % self._config.dupe_factor)

    def loss(self, batch: Example, device: torch.device, *, step: Sequence[Example]) -> Tensor:
        """Return the masked-word loss, plus that of the next segment when it is learnt."""
        words = self._group.total(torch.tensor(sum(len(part.masked) for part in step)))
        masked, following = self._losses(batch, device)
        loss = masked * (len(batch.masked) / max(1, int(words)))
        return loss + following / (len(step) * self._group.size)

    def _losses(self, batch: Example, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the mean losses of masked words and of next segments, 0 where none is learnt."""
        packed = batch.packed.to(device)
        (hidden,) = self.module.bert(packed)
        masked = self.module.masked_loss(hidden, batch.masked.to(device), batch.words.to(device))
        if not self._config.next_sentence:
            return masked, masked.new_zeros(())
        starts = packed.offsets[:-1].long()
        return masked, self.module.next_sentence_loss(hidden, starts, batch.random_next.to(device))

    def work(self, batch: Example) -> tuple[int, float]:
        """Return real tokens and training operations (three times those of a forward pass)."""
        size = self._encoder
        tokens = len(batch.packed.ids)
        dense = size.layers * (4 * size.hidden**2 + 2 * size.hidden * size.feed_forward)
        attention = 2 * size.layers * size.hidden * sum(n * n for n in batch.packed.lengths)
        scores = len(batch.masked) * size.hidden * (self._vocabulary.size + size.hidden)
        return tokens, 6.0 * (tokens * dense + attention + scores)

    def validate(self, device: torch.device) -> dict[str, float]:
        """Return the mean losses on validation members, always masked alike.

        `validation_loss` is the sum of `validation_mlm_loss` (a masked word's) and, where the next
        segment is learnt, `validation_nsp_loss` (a document's).
        """
        count = min(len(self._held_out.chunks), VALIDATION_CHUNKS)
        if not count:
            return {}
        rows = epoch_order(len(self._held_out.chunks), epoch=0, seed=self._seed)[:count]
        size = self._config.batch // self._config.accumulate
        mlm = nsp = words = 0.0
        for start in range(0, count, size):
            part = rows[start : start + size]
            example = self._example(self._held_out, part, np.zeros(len(part), np.int64))
            masked, following = self._losses(example, device)
            mlm += masked.item() * len(example.masked)
            nsp += following.item() * len(part)
            words += len(example.masked)
        mlm, nsp = mlm / max(1.0, words), nsp / count
        if not self._config.next_sentence:
            return {"validation_loss": mlm}
        return {
            "validation_loss": mlm + nsp,
            "validation_mlm_loss": mlm,
            "validation_nsp_loss": nsp,
        }

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return all parameters at one learning rate."""
        return [(list(self.module.parameters()), self._config.learning_rate)]

    def _row(self, epoch: int, place: int) -> int:
        if self._order[0] != epoch:
            self._order = (epoch, epoch_order(len(self.chunks), epoch=epoch, seed=self._seed))
        return int(self._order[1][place])

    def _example(self, side: _Side, rows: np.ndarray, dupes: np.ndarray) -> Example:
        chunks, documents, cuts, places = side.chunks, [], [], []
        random_next = np.zeros(len(rows), np.int64)
        for index, (row, dupe) in enumerate(zip(rows, dupes, strict=True)):
            first, second = self._segments(chunks, int(row))
            if self._config.next_sentence and len(side.starts) > 2:
                draw = np.random.default_rng([self._seed, int(dupe), int(row)])
                if draw.random() < 0.5 or not len(first) or not len(second):
                    other = _of_another_document(side.starts, int(row), draw)
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
        """Follow the first segment, or a chunk of one session, by sessions of another document.

        They are as many as come nearest to the length of the second segment, or of the lone one,
        and fit; where not even one does, it is cut and closed.
        """
        limit, sep = self._encoder.max_tokens - 1, self._vocabulary.sep
        room = limit - len(first)
        if not (len(first) and len(second)):
            first = second = np.concatenate([first, second])
            room = max(limit - len(first), limit // 2)
        before, behind = self._segments(chunks, other)
        theirs = behind if len(behind) >= len(second) else np.concatenate([before, behind])
        ends = np.flatnonzero(theirs == sep) + 1
        ends = ends[ends <= room]
        if len(ends):
            random = theirs[: ends[np.abs(ends - len(second)).argmin()]]
        else:
            random = np.append(theirs[: room - 1], np.int32(sep))
        return first[: limit - len(random)], random

    def _side(self, split: int) -> _Side:
        limit = self._encoder.max_tokens - 1
        chunks = cut_chunks(self._corpus, limit=limit, split=split, seed=self._seed)
        begins = np.zeros(len(chunks), bool)
        for number, shard in enumerate(self._corpus.shards):
            of_shard = chunks.shard == number
            documents = shard.session_offsets[shard.member_offsets]
            begins[of_shard] = np.isin(chunks.start[of_shard], documents)
        return _Side(chunks, np.append(np.flatnonzero(begins), len(chunks)))

    def _segments(self, chunks: Chunks, row: int) -> tuple[np.ndarray, np.ndarray]:
        shard = self._corpus.shards[chunks.shard[row]].tokens
        start, cut, end = chunks.start[row], chunks.cut[row], chunks.end[row]
        return shard[start:cut], shard[cut:end]


def _of_another_document(starts: np.ndarray, row: int, draw: np.random.Generator) -> int:
    """Draw a chunk of any document but the one that `row` is of."""
    document = int(np.searchsorted(starts, row, side="right"))
    begin, end, chunks = int(starts[document - 1]), int(starts[document]), int(starts[-1])
    return (end + int(draw.integers(0, chunks - (end - begin)))) % chunks
