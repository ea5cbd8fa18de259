"""Subword ids for texts of any script.

The vocabulary is a byte-level BPE over white-space words. Byte-level, because members write in any
script: 256 byte tokens spell whatever the training corpus did not hold, so that there is no unknown
token, no alphabet to cut, and decoding gives back the exact text. White-space words, because a
company rendered as `c_acme_inc` has to stay one word for whole-word masking; merges never cross a
space, so a text's ids are its words' ids joined.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from components.activity.config import SplitConfig, Vertical
from components.activity.split import TRAIN, member_split
from components.files import whole_directory
from components.progress import progress
from components.text.config import TextConfig
from components.text.errors import TextError
from components.text.ragged import read_batches
from components.text.render import company_word, normalise

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL_TOKENS = (PAD, UNK, CLS, SEP, MASK)
BYTES = 256

RENDERERS = {"query": normalise, "company": company_word, "title": normalise}
"""How each text column of an action becomes words."""

TOKENIZER_FILE, ABOUT_FILE = "tokenizer.json", "vocabulary.json"
_REPEATS_PER_LINE = 1000

logger = logging.getLogger(__name__)


class Vocabulary:
    """Texts to subword ids and back.

    Attributes:
        size: number of ids.
        pad, unk, cls, sep, mask: ids of the special tokens, 0 to 4.
        actions: kind ("query" or "posting") of every action type, in the order of their ids.
        action_ids: int32[actions], the id of each action type.
        word_start: bool[size], whether the token opens a word; special tokens and action types do.
        hash: identifies the vocabulary; equal for equal ids.
    """

    def __init__(self, tokenizer: Tokenizer, actions: Mapping[str, str], hash: str):
        self._tokenizer = tokenizer
        self.actions = dict(actions)
        self.hash = hash
        self.size = tokenizer.get_vocab_size()
        self.pad, self.unk, self.cls, self.sep, self.mask = range(len(SPECIAL_TOKENS))
        first = len(SPECIAL_TOKENS)
        self.action_ids = np.arange(first, first + len(actions), dtype=np.int32)
        self._pieces = _pieces(tokenizer, whole=first + len(actions))
        self.word_start = np.array([piece.startswith(b" ") for piece in self._pieces])

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Open a vocabulary written by `train_vocabulary`.

        Raises:
            TextError: a file is missing or is not the one that was written.
        """
        try:
            about = json.loads((directory / ABOUT_FILE).read_text())
            actions, written = about["actions"], about["hash"]
            content = (directory / TOKENIZER_FILE).read_bytes()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TextError(f"{directory}: no readable vocabulary: {error!r}") from error
        if _digest(content) != written:
            raise TextError(f"{directory / TOKENIZER_FILE}: damaged, its checksum does not match")
        return cls(Tokenizer.from_buffer(content), actions, written)

    def action_id(self, action: str) -> int:
        """Return the id of an action type.

        Raises:
            TextError: the vocabulary was trained without this action type.
        """
        try:
            return len(SPECIAL_TOKENS) + list(self.actions).index(action)
        except ValueError:
            known = ", ".join(self.actions)
            raise TextError(f"action {action!r} is not in the vocabulary ({known})") from None

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return int32 ids per rendered text (`render.action_text`, `render.entity_text`)."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Return the text of `ids`; a character cut in two becomes a replacement mark."""
        content = b"".join(self._pieces[i] for i in ids)
        return content.removeprefix(b" ").decode("utf-8", errors="replace")


def train_vocabulary(
    sessions: Path,
    target: Path,
    config: TextConfig,
    vertical: Vertical,
    *,
    split: SplitConfig,
    seed: int,
) -> None:
    """Learn subwords from the texts of the training members, all or nothing.

    Words are counted first, one rendering per distinct text of a batch, so that time goes with the
    distinct texts and memory with the distinct words. The result does not depend on the order of
    the rows.

    Args:
        sessions: directory of session parts.
        target: directory to write: `tokenizer.json` (readable by transformers) and
            `vocabulary.json`.
        config: sizes.
        vertical: the action types, each of which becomes one token.
        split: shares of members kept out.
        seed: of the split, and of the scaling of a corpus beyond `config.training_words`.

    Raises:
        TextError: no training member has a text, or the size leaves no room for subwords.
    """
    reserved = len(SPECIAL_TOKENS) + len(vertical.actions)
    if config.vocabulary_size < reserved + BYTES:
        raise TextError(
            f"vocabulary_size {config.vocabulary_size} leaves no room for {reserved} special "
            f"tokens and action types and {BYTES} bytes"
        )
    counts = count_words(sessions, config, split=split, seed=seed)
    if not counts:
        raise TextError(f"{sessions}: no training member has a text to learn a vocabulary from")
    tokenizer = _train(_scaled(counts, config.training_words, seed), config, vertical)
    content = tokenizer.to_str().encode()
    about = {
        "actions": vertical.actions,
        "hash": _digest(content),
        "size": tokenizer.get_vocab_size(),
        "words": sum(counts.values()),
        "distinct_words": len(counts),
    }
    with whole_directory(target) as directory:
        (directory / TOKENIZER_FILE).write_bytes(content)
        (directory / ABOUT_FILE).write_text(json.dumps(about, indent=2) + "\n")
        (directory / "tokenizer_config.json").write_text(json.dumps(_TRANSFORMERS, indent=2) + "\n")
    logger.info("vocabulary size=%d words=%d", about["size"], about["words"])


def count_words(
    sessions: Path, config: TextConfig, *, split: SplitConfig, seed: int
) -> Counter[str]:
    """Count the running words of the training members' rendered texts."""
    columns = ["query"] if config.sequence == "query" else list(RENDERERS)
    parts = session_parts(sessions)
    counts: Counter[str] = Counter()
    with progress("count words", total=len(parts)) as bar:
        for part in parts:
            for batch in read_batches(part, ["member_id", *columns], rows=config.batch_rows):
                training = _of_training_members(batch, split, seed)
                for column in columns:
                    _count(training.column(column), RENDERERS[column], counts)
            bar.advance(words=len(counts))
    return counts


def session_parts(sessions: Path) -> list[Path]:
    """List the Parquet parts of a sessions directory in order.

    Raises:
        TextError: there are none.
    """
    parts = sorted(sessions.glob("part-*.parquet"))
    if not parts:
        raise TextError(f"{sessions}: holds no session parts (part-*.parquet)")
    return parts


def _of_training_members(batch: pa.RecordBatch, split: SplitConfig, seed: int) -> pa.RecordBatch:
    members = batch.column("member_id").dictionary_encode()
    sides = member_split(
        members.dictionary.to_pylist(), seed=seed, validation=split.validation, test=split.test
    )
    return batch.filter(pa.array(sides[members.indices.to_numpy()] == TRAIN))


def _count(column: pa.Array, render: Callable[[str], str], counts: Counter[str]) -> None:
    occurrences = pc.value_counts(column.drop_null())
    texts, numbers = occurrences.field("values").to_pylist(), occurrences.field("counts").tolist()
    for text, number in zip(texts, numbers, strict=True):
        for word in render(text).split():
            counts[word] += number


def _scaled(counts: Counter[str], limit: int, seed: int) -> Counter[str]:
    """Scale counts to about `limit` words in all; chance rounds, so the tail keeps its weight."""
    share = limit / sum(counts.values())
    if share >= 1:
        return counts
    words = sorted(counts)
    expected = np.array([counts[word] for word in words]) * share
    rounded = np.floor(expected + np.random.default_rng(seed).random(len(words))).astype(int)
    return Counter({word: int(n) for word, n in zip(words, rounded, strict=True) if n})


def _train(counts: Counter[str], config: TextConfig, vertical: Vertical) -> Tokenizer:
    # Training takes words, not counts. Spelled in byte characters beforehand, a repeated word costs
    # a cut at white space and no more: a third of the time of the whole pre-tokenizer.
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary_size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=list(BYTE_CHARACTERS),
        special_tokens=[
            AddedToken(name, special=True, normalized=False)
            for name in (*SPECIAL_TOKENS, *vertical.actions)
        ],
    )
    tokenizer.train_from_iterator(_repeated(counts), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _repeated(counts: Counter[str]) -> Iterator[str]:
    for word in sorted(counts):
        spelled = "".join(BYTE_CHARACTERS[byte] for byte in f" {word}".encode())
        lines, rest = divmod(counts[word], _REPEATS_PER_LINE)
        for repeats in [_REPEATS_PER_LINE] * lines + [rest]:
            yield " ".join([spelled] * repeats)


def _pieces(tokenizer: Tokenizer, *, whole: int) -> list[bytes]:
    byte_of = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=ids.__getitem__)
    names = [f" {token}".encode() for token in tokens[:whole]]
    return names + [bytes(byte_of[character] for character in token) for token in tokens[whole:]]


def _byte_characters() -> str:
    """Spell each byte by the visible character that GPT-2 and tokenizers give it."""
    visible = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in visible else next(others)) for byte in range(BYTES))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


BYTE_CHARACTERS = _byte_characters()
_TRANSFORMERS = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "pad_token": PAD,
    "unk_token": UNK,
    "cls_token": CLS,
    "sep_token": SEP,
    "mask_token": MASK,
    "clean_up_tokenization_spaces": False,
}
