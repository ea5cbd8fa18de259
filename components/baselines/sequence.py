"""Train ACG, MNSRF, CARS or LostNet, and keep what it suggests to the test members.

A model learns every next query of the training members from the turns before it. A test member's
most recent turns of the context start a beam search, whose queries are the suggestions: those that
are a label count as that label, all others are wrong where they stand. A member whose context holds
no query gets no suggestion, as these models know no other beginning.

Source: paper, sections 5.1 and 5.2, which trains ACG and MNSRF on word vectors of fastText.
"""

import hashlib
import json
import logging
import math
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.activity.config import Vertical
from components.activity.split import TRAIN, VALIDATION
from components.baselines.acg import Acg
from components.baselines.cars import Cars
from components.baselines.end_to_end import Inputs
from components.baselines.fasttext import WordVectors
from components.baselines.lostnet import LostNet
from components.baselines.mnsrf import Mnsrf
from components.baselines.predictions import rank_test_rows, write_predictions
from components.baselines.sequence_config import SequenceConfig
from components.baselines.session_model import SessionModel
from components.baselines.suggestions import Suggestions, query_labels
from components.baselines.turn_batches import (
    TurnBatch,
    Windows,
    training_batch,
    training_windows,
)
from components.baselines.turns import PAD, Lexicon, Turns, learn_lexicon, read_turns
from components.encoder.training import train
from components.files import whole_directory
from components.labels.examples import Examples
from components.text.ragged import ragged_positions

MODELS: dict[str, type[SessionModel]] = {
    "ACG": Acg,
    "MNSRF": Mnsrf,
    "CARS": Cars,
    "LostNet": LostNet,
}
VALIDATION_WINDOWS = 512
PUBLISHED_MEMBERS = 16_000_000  # training examples of the paper's data set D2 (table 1)

logger = logging.getLogger(__name__)


def train_sequence_baseline(
    method: str,
    inputs: Inputs,
    target: Path,
    config: SequenceConfig,
    *,
    vertical: Vertical,
    members: int,
    depth: int,
    seed: int,
    checkpoints: Path,
) -> list[dict]:
    """Train a method and write what it suggests to the test members; all or nothing.

    Args:
        method: one of `MODELS`.
        inputs: sessions, examples, and fastText's vectors, from which word vectors start.
        target: directory to write, see `predictions.py`. `about.json` holds, beside `seconds` and
            `parameters`: the `words` that can be written; `answered`, the share of the asked
            members with a suggestion; of the first suggestions the shares that are no label
            (`unknown`), hold an unknown word (`unk`) and repeat a query of the member's context
            (`repeats`); `labels_among_queries`, the share of next queries that are a label;
            `queries_per_second` of training and, at that rate and with no more words, the
            `days_at_published_size` that training would take.
        config: sizes and training.
        vertical: which actions are queries.
        members: most test members of a data set (`EvaluationConfig.members`).
        depth: labels per member (`EvaluationConfig.depth`); the beam gives `config.beam` of them.
        seed: of the draw of test members, the order, dropout and drawn candidates.
        checkpoints: directory where an interrupted run left its state.

    Returns:
        The training log; empty, as is the directory, if no training member searched twice.

    Raises:
        LabelsError, TextError, BaselineError: an input cannot be read.
        EncoderError: a checkpoint is damaged or cannot be written, or training diverged.
    """
    began = time.monotonic()
    data = Examples.open(inputs.examples)
    turns = read_turns(inputs.sessions, vertical, clicks=config.clicks)
    training = _members(data, turns, TRAIN)
    lexicon = learn_lexicon(turns, training, config)
    windows = training_windows(turns, training, config.turns)
    if not len(windows):
        logger.warning("method=%s not run: no training member searched twice", method)
        with whole_directory(target):
            return []
    torch.manual_seed(seed)
    embedding = _embedding(lexicon, WordVectors.load(inputs.words))
    model = MODELS[method](embedding, lexicon.targets, config)
    held_out = training_windows(turns, _members(data, turns, VALIDATION), config.turns)
    task = NextQueries(model, turns, lexicon, windows, held_out, config, seed=seed)
    log = train(
        task,
        config,
        description=method,
        seed=seed,
        checkpoints=checkpoints,
        identity=_identity(method, turns, windows, model, config, seed),
    )
    suggest = Suggestions(model, turns, lexicon, data, config)
    datasets = rank_test_rows(suggest, data, members=members, depth=depth, seed=seed)
    rate = log[-1]["tokens_per_second"]
    following = len(turns.query) - len(turns.rows)
    published = PUBLISHED_MEMBERS * following / len(np.unique(data.table["member_id"]))
    about = {
        "seconds": time.monotonic() - began,
        "words": lexicon.targets,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": task.steps,
        "queries": int((windows.end - windows.start - 1).sum()),
        **suggest.facts(),
        "labels_among_queries": _labelled(turns, windows, data),
        "validation_loss": log[-1].get("validation_loss"),
        "queries_per_second": rate,
        "days_at_published_size": config.epochs * published / rate / 86400,
    }
    write_predictions(target, method, datasets, about)
    logger.info("method=%s %s", method, json.dumps(about))
    return log


class NextQueries:
    """Learning of the next queries, and of the postings clicked after them.

    Args:
        module: the model.
        turns: everybody's.
        lexicon: words.
        windows: of the training members.
        held_out: of the validation members.
        config: training settings.
        seed: of order and drawn candidates.
    """

    def __init__(
        self,
        module: SessionModel,
        turns: Turns,
        lexicon: Lexicon,
        windows: Windows,
        held_out: Windows,
        config: SequenceConfig,
        *,
        seed: int,
    ):
        self.module = module
        self._turns, self._lexicon, self._config, self._seed = turns, lexicon, config, seed
        self._windows = windows
        self._held_out = Windows(*(part[:VALIDATION_WINDOWS] for part in held_out))
        # Windows of one length go together. Sorted by length they fall into the same groups in
        # every epoch, whichever of equal length come first.
        self._lengths = windows.end - windows.start
        self._groups = _groups(np.sort(self._lengths), config.batch)
        self.steps = max(1, math.ceil(config.epochs * len(self._groups)))
        self._order: tuple[int, NDArray, NDArray] = (-1, np.empty(0), np.empty(0))

    def batch(self, step: int, part: int) -> TurnBatch:
        """Return a step's windows; they go through in one part."""
        epoch, place = divmod(step, len(self._groups))
        if epoch != self._order[0]:
            draw = np.random.default_rng([self._seed, epoch])
            order = draw.permutation(len(self._windows))
            order = order[np.argsort(self._lengths[order], kind="stable")]
            self._order = (epoch, order, draw.permutation(len(self._groups)))
        _, order, groups = self._order
        return self._batch(self._windows, order[self._groups[groups[place]]], [self._seed, step])

    def loss(self, batch: TurnBatch, device: torch.device, *, step: Sequence[TurnBatch]) -> Tensor:
        """Return the mean loss of the next queries and that of the ranked postings."""
        suggestion, ranking = self.module.losses(batch.to(device))
        return suggestion / len(batch.asked) + ranking

    def work(self, batch: TurnBatch) -> tuple[int, float]:
        """Return queries to predict, which stand for tokens; operations are not counted."""
        return len(batch.asked), 0.0

    def validate(self, device: torch.device) -> dict[str, float]:
        """Return the loss of a next query of validation members."""
        total, queries = 0.0, 0
        for group in _groups(self._held_out.end - self._held_out.start, self._config.batch):
            chosen = np.arange(len(self._held_out))[group]
            batch = self._batch(self._held_out, chosen, [self._seed])
            total += float(self.module.losses(batch.to(device))[0])
            queries += len(batch.asked)
        return {"validation_loss": total / queries} if queries else {}

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return all parameters with their learning rate."""
        return [(list(self.module.parameters()), self._config.learning_rate)]

    def _batch(self, windows: Windows, chosen: NDArray, seeds: list[int]) -> TurnBatch:
        some = Windows(windows.start[chosen], windows.end[chosen])
        draw = np.random.default_rng(seeds)
        return training_batch(self._turns, self._lexicon, some, self._config, draw)


def _groups(lengths: NDArray, size: int) -> list[slice]:
    """Cut windows of these lengths into runs of about `size` turns."""
    edges = np.flatnonzero(np.diff((np.cumsum(lengths) - 1) // size)) + 1
    bounds = [0, *edges.tolist(), len(lengths)]
    return [slice(first, last) for first, last in pairwise(bounds) if last > first]


def _members(data: Examples, turns: Turns, side: int) -> NDArray[np.int64]:
    """Return the places of the members of one side who searched, ascending."""
    members = data.table["member_id"][data.table["split"] == side]
    found = (turns.rows.get(member, -1) for member in dict.fromkeys(members.tolist()))
    return np.array(sorted(place for place in found if place >= 0), np.int64)


def _embedding(lexicon: Lexicon, words: WordVectors) -> nn.Embedding:
    """Return word vectors of fastText, random ones of the same length for words it lacks."""
    embedding = nn.Embedding(lexicon.known, words.dimension, padding_idx=PAD)
    with torch.no_grad():
        embedding.weight *= words.dimension**-0.5
        for number, word in enumerate(lexicon.words[: lexicon.known]):
            row = words.words.get(word)
            if row is not None:
                embedding.weight[number] = torch.from_numpy(words.unit[row])
    return embedding


def _labelled(turns: Turns, windows: Windows, data: Examples) -> float:
    """Return the share of the queries to predict that are a label."""
    labels = query_labels(data)
    is_label = np.array([text in labels for text in turns.queries])
    lengths = windows.end - windows.start - 1
    return float(is_label[turns.query[ragged_positions(windows.start + 1, lengths)]].mean())


def _identity(
    method: str,
    turns: Turns,
    windows: Windows,
    model: SessionModel,
    config: SequenceConfig,
    seed: int,
) -> str:
    facts = [method, turns.queries, turns.titles, config.model_dump(), seed]
    content = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16)
    arrays = (*windows, turns.session, turns.query, turns.clicked, model.embedding.weight.detach())
    for array in arrays:
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
