"""fastText: one global vector per word, the mean of a member's words as the activity vector.

Two models are trained: on action sequences, for the vectors of the baseline fastText+Slice, and on
query sequences, for the entity vectors in which Semantic-Similarity is measured.

Source: paper, section 5.1; Bojanowski et al., Enriching word vectors with subword information,
TACL 2017.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from components.activity.config import SplitConfig, Vertical
from components.activity.split import member_split
from components.baselines.config import FastTextConfig
from components.baselines.contexts import (
    KnownWords,
    action_batches,
    find_contexts,
    rendered,
    session_bounds,
)
from components.baselines.errors import BaselineError
from components.encoder.vectors import MemberVectors
from components.files import whole_directory
from components.progress import progress
from components.text.ragged import ragged_positions, run_starts
from components.text.vocabulary import RENDERERS

WORDS = "words.json"
VECTORS = "vectors.npy"
ABOUT = "vectors.json"

_END_OF_LINE = "</s>"

logger = logging.getLogger(__name__)


class WordVectors:
    """Words and their vectors.

    Attributes:
        words: row of each word.
        unit: float32 [V, d], the vectors scaled to length 1, as fastText pools them.
    """

    def __init__(self, words: Sequence[str], vectors: NDArray[np.float32]):
        self.words = {word: row for row, word in enumerate(words)}
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.unit = np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.unit.shape[1]

    @cached_property
    def version(self) -> str:
        """Tells these words' vectors from any others', with which they are not comparable."""
        content = hashlib.blake2b("\n".join(self.words).encode(), digest_size=8)
        content.update(np.ascontiguousarray(self.unit).tobytes())
        return f"fasttext-{content.hexdigest()}"

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `train_word_vectors` wrote.

        Raises:
            BaselineError: a file is missing or unreadable.
        """
        try:
            words = json.loads((directory / WORDS).read_text())
            return cls(words, np.load(directory / VECTORS))
        except (OSError, ValueError) as error:
            raise BaselineError(f"{directory}: no readable word vectors ({error})") from error

    def phrases(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the mean of each text's word vectors, float32 [n, d]; 0 where no word is known."""
        ids, lengths = self.word_ids(texts)
        return _means(ids, lengths, len(self.words)) @ self.unit

    def word_ids(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return rows of the known words of all texts, end to end, and their number per text."""
        found = [
            [self.words[word] for word in text.split() if word in self.words] for text in texts
        ]
        lengths = np.array([len(ids) for ids in found], dtype=np.int64)
        ids = np.fromiter((i for ids in found for i in ids), np.int32, int(lengths.sum()))
        return ids, lengths


def train_word_vectors(
    sessions: Path,
    target: Path,
    config: FastTextConfig,
    vertical: Vertical,
    *,
    sequence: Literal["action", "entity"],
    split: SplitConfig,
    seed: int,
) -> None:
    """Train skip-gram vectors on the training members' trails, one line each; all or nothing.

    Words are whole words and company phrases (`c_acme_inc`) without character n-grams, as in the
    paper; the table of n-grams alone would take 2.4 GB at 300 dimensions.

    Args:
        sessions: directory of session parts.
        target: directory to write: `vectors.npy` float32 [V, d], `words.json`, `vectors.json`.
        config: sizes; two runs give equal vectors only with `config.threads` of 1.
        vertical: the action types and which of them make labels.
        sequence: "action", everything a member did; "entity", their queries or, in a vertical
            without queries, the texts of the actions that make labels.
        split: shares of members kept out of training.
        seed: of the split and of the vectors before training.

    Raises:
        BaselineError: too few words to train on, or the learning rate makes the vectors diverge.
    """
    with whole_directory(target) as directory, tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus.txt"
        lines = _write_corpus(sessions, corpus, vertical, sequence, split, seed)
        words, vectors = _train(
            corpus, config, seed=seed, name=f"{sessions} ({sequence} sequences)"
        )
        np.save(directory / VECTORS, vectors)
        (directory / WORDS).write_text(json.dumps(words, ensure_ascii=False))
        about = {
            "encoder": "fastText",
            "dimension": vectors.shape[1],
            "words": len(words),
            "sequence": sequence,
            "members": lines,
            "config": config.model_dump(),
        }
        (directory / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
    logger.info("fasttext sequence=%s members=%d words=%d", sequence, lines, len(words))


def context_vectors(
    words: WordVectors,
    sessions: Path,
    *,
    member_ids: Sequence[str] | NDArray,
    first_session: NDArray,
    context_end: NDArray,
) -> NDArray[np.float32]:
    """Pool every example's context: words within a session, then the sessions, by their mean.

    Args:
        words: trained on action sequences.
        sessions: directory of session parts.
        member_ids: member of each example, [n]; a member may have several.
        first_session: number of the first session of the context, from 0, [n].
        context_end: number of the session after the last, [n].

    Returns:
        float32 [n, d]; a row is 0 where no word of the context is known.

    Raises:
        BaselineError: an example's member or session is not in `sessions`.

    Source: paper, section 5.1 ("session (sentence) embedding and mean-pool over all sessions").
    """
    pooled = np.zeros((len(first_session), words.dimension), np.float32)
    known = KnownWords(words.word_ids)
    with progress("fastText vectors", total=len(pooled)) as bar:
        for found in find_contexts(sessions, member_ids, first_session, context_end):
            vectors = _session_vectors(found.batch, found.session_starts[:-1], known, words)
            span = ragged_positions(found.first, found.sessions)
            pooled[found.rows] = _means(span, found.sessions, len(vectors)) @ vectors
            bar.advance(len(found.rows))
    return pooled


def member_vectors(words: WordVectors, sessions: Path) -> MemberVectors:
    """Pool every member's whole trail, as `context_vectors` pools a context.

    Args:
        words: trained on action sequences.
        sessions: directory of session parts.

    Returns:
        One vector per member of `sessions`, 0 where no word of the trail is known.
    """
    known, members, pooled = KnownWords(words.word_ids), [], []
    for batch in action_batches(sessions):
        starts, offsets = session_bounds(batch)
        vectors, counts = _session_vectors(batch, starts, known, words), np.diff(offsets)
        pooled.append(_means(np.arange(len(vectors)), counts, len(vectors)) @ vectors)
        column = batch.column("member_id")
        members.append(column.take(pa.array(run_starts(column))))
    return MemberVectors(pa.chunked_array(members), np.concatenate(pooled), {}, words.version)


def _train(
    corpus: Path, config: FastTextConfig, *, seed: int, name: str
) -> tuple[list[str], NDArray[np.float32]]:
    import fasttext

    # No member can write this label prefix, for rendered text is lower case; the default,
    # "__label__", they can, and fastText would take the word for a class.
    common = {
        "input": str(corpus),
        "model": "skipgram",
        "minCount": config.minimum_count,
        "minn": 0,
        "maxn": 0,
        "label": "[LABEL]",
        "verbose": 0,
    }
    with progress("fastText", total=config.epochs) as bar:
        try:
            words = fasttext.train_unsupervised(dim=1, epoch=0, thread=1, **common).get_words()
            initial = corpus.with_name("initial.vec")
            _write_initial_vectors(initial, words, config.dimension, seed)
            model = fasttext.train_unsupervised(
                loss=config.loss,
                dim=config.dimension,
                lr=config.learning_rate,
                epoch=config.epochs,
                ws=config.window,
                t=config.subsampling,
                thread=config.threads,
                pretrainedVectors=str(initial),
                **common,
            )
        except (ValueError, RuntimeError) as error:
            raise BaselineError(f"{name}: fastText cannot be trained: {error}") from error
        bar.advance(config.epochs)
    words = model.get_words()
    kept = [row for row, word in enumerate(words) if word != _END_OF_LINE]
    if not kept:
        raise BaselineError(f"{name}: no word occurs {config.minimum_count} times")
    return [words[row] for row in kept], model.get_input_matrix()[kept].astype(np.float32)


def _write_initial_vectors(path: Path, words: Sequence[str], dimension: int, seed: int) -> None:
    """Give fastText the vectors to start from.

    Left alone, it fills a tenth of its matrix per thread, up to ten, and trains the rest from
    whatever the memory held (`DenseMatrix::uniformThread`, version 0.10.4): with one thread two
    runs differ, and some end in NaN.
    """
    generator = np.random.default_rng(seed)
    with path.open("w") as out:
        out.write(f"{len(words)} {dimension}\n")
        for word in words:
            start = generator.uniform(-1, 1, dimension) / dimension
            out.write(f"{word} {' '.join(map(str, start.tolist()))}\n")


def _write_corpus(
    sessions: Path,
    corpus: Path,
    vertical: Vertical,
    sequence: Literal["action", "entity"],
    split: SplitConfig,
    seed: int,
) -> int:
    actions, columns = _sequence_parts(vertical, sequence)
    lines = 0
    with corpus.open("wb") as out:
        for batch in action_batches(sessions):
            kept = batch.filter(_of_training_members(batch, split, seed))
            kept = kept.filter(pc.is_in(kept.column("action"), pa.array(actions, pa.string())))
            if kept.num_rows == 0:
                continue
            text = pc.binary_join_element_wise(
                *(_rendered_column(kept, column) for column in columns),
                " ",
                null_handling="skip",
            )
            starts = np.append(run_starts(kept.column("member_id")), kept.num_rows)
            documents = pa.ListArray.from_arrays(starts.astype(np.int32), text)
            for line in pc.binary_join(documents, " ").to_pylist():
                out.write(line.encode() + b"\n")
            lines += len(documents)
    return lines


def _sequence_parts(vertical: Vertical, sequence: str) -> tuple[list[str], list[str]]:
    if sequence == "action":
        return list(vertical.actions), ["action", *RENDERERS]
    queries = [action for action, kind in vertical.actions.items() if kind == "query"]
    if queries:
        return queries, ["query"]
    posting = ["title"] if vertical.posting_label == "title" else ["company", "title"]
    return list(vertical.label_actions), posting


def _of_training_members(batch: pa.RecordBatch, split: SplitConfig, seed: int) -> pa.Array:
    starts = run_starts(batch.column("member_id"))
    members = batch.column("member_id").take(pa.array(starts)).to_pylist()
    sides = member_split(members, seed=seed, validation=split.validation, test=split.test)
    return pa.array(np.repeat(sides == 0, np.diff(np.append(starts, batch.num_rows))))


def _session_vectors(
    batch: pa.RecordBatch, starts: NDArray[np.int64], known: KnownWords, words: WordVectors
) -> NDArray[np.float32]:
    """Return the mean word vector of each session; sessions start at rows `starts`."""
    ids, lengths = known.of_rows(batch)
    return _means(ids, np.add.reduceat(lengths, starts), len(words.words)) @ words.unit


def _rendered_column(batch: pa.RecordBatch, column: str) -> pa.Array:
    encoded = batch.column(column).dictionary_encode()
    texts = rendered(encoded.dictionary.to_pylist(), column)
    return pa.array([text or None for text in texts], pa.string()).take(encoded.indices)


def _means(members: NDArray, lengths: NDArray, width: int) -> sp.csr_matrix:
    """Return the matrix that averages rows `members`, in runs of `lengths`, of `width` rows."""
    share = np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return sp.csr_matrix((share, members, offsets), (len(lengths), width))
