"""Activity vectors: what an encoder makes of a member's most recent chunks.

A document's chunks are its closed chunks, 511 subwords each from the document's start, and the
newest one, which ends at the last subword and is what fine-tuning saw. Closed chunks never change,
so their vectors are kept under the hash of their subwords, and a member's own under that of all he
was made of: a day costs what was active that day.

In one pass (`EmbedConfig.contexts`) the recent chunks' worth of subwords is encoded together. There
are no closed chunks then: a member who did anything is encoded as a whole.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.encoder.batching import contexts
from components.encoder.config import EmbedConfig
from components.encoder.device import pick_device
from components.encoder.engines import fastest_engine, make_encode
from components.encoder.model import pooled_layers
from components.encoder.vectors import MemberVectors, save_member_vectors, save_vectors
from components.encoder.weights import StoredEncoder, load_encoder
from components.labels.examples import Examples
from components.progress import progress
from components.text.documents import Tokens
from components.text.vocabulary import Vocabulary

DOCUMENTS_AT_ONCE = 2048
DIGEST_BYTES = 16

logger = logging.getLogger(__name__)


class Embedder:
    """An encoder ready to turn documents into vectors.

    Attributes:
        vocabulary: of the ids it takes.
        dimension: of the vectors.
        version: of the encoder; vectors of another version are not comparable.
    """

    def __init__(self, stored: StoredEncoder, config: EmbedConfig):
        pooling, sizes = stored.pooling or config.pooling, stored.bert.config
        window = None
        self.vocabulary: Vocabulary = stored.vocabulary
        self.version = f"{stored.version}-{pooling}"
        if config.contexts == "one_pass":
            window = config.window or sizes.max_tokens // 2
            self.version += f"-one_pass-{window}"
        self.dimension = pooled_layers(sizes, pooling) * sizes.hidden
        self._limit, self._chunks = sizes.max_tokens - 1, config.chunks
        self._one_pass = window is not None
        device = pick_device()
        chosen = fastest_engine(device) if config.engine == "auto" else config.engine
        engine = "torch" if device.type == "cuda" else chosen
        self._encode = make_encode(
            stored.bert, stored.vocabulary.cls, pooling, engine, device, window=window
        )

    @classmethod
    def load(cls, directory: Path, config: EmbedConfig | None = None) -> Self:
        """Open an encoder directory.

        Raises:
            EncoderError: a file is missing or damaged; names it.
        """
        return cls(load_encoder(directory), config or EmbedConfig())

    def embed(self, documents: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32[n, d], the activity vector of each document.

        A document without subwords (a member with nothing to read) gets the zero vector.

        Args:
            documents: int32 subwords, without [CLS].

        Source: paper, section 5.1: the mean of the vectors of the 5 most recent chunks.
        """
        return self.embed_reusing(documents, {}).vectors

    def embed_reusing(
        self, documents: Sequence[np.ndarray], known: dict[bytes, np.ndarray]
    ) -> "Embedded":
        """Embed documents, taking closed chunks' vectors from `known` and adding new ones to it.

        Args:
            documents: int32 subwords, without [CLS].
            known: float32[d] of closed chunks by `chunk_key`; in one pass there are none.
        """
        if self._one_pass:
            return self._embed_in_one_pass(documents)
        newest: dict[int, np.ndarray] = {}
        closed: dict[bytes, np.ndarray] = {}
        closed_of: list[list[bytes]] = [[] for _ in documents]
        for row, document in enumerate(documents):
            for chunk, is_closed in recent_chunks(document, self._limit, self._chunks):
                if is_closed:
                    closed_of[row].append(chunk_key(chunk))
                    closed[closed_of[row][-1]] = chunk
                else:
                    newest[row] = chunk
        fresh = [key for key in closed if key not in known]
        encoded = self._encode([*newest.values(), *(closed[key] for key in fresh)])
        known.update(zip(fresh, encoded[len(newest) :].copy(), strict=True))
        vectors = np.zeros((len(documents), self.dimension), np.float32)
        vectors[list(newest)] = encoded[: len(newest)]
        newest_vectors = vectors.copy()
        for row, keys in enumerate(closed_of):
            if keys:
                vectors[row] += np.sum([known[key] for key in keys], axis=0)
                vectors[row] /= 1 + len(keys)
        chunks = sum(map(len, closed_of), len(newest))
        return Embedded(vectors, newest_vectors, list(closed), chunks, len(encoded))

    def _embed_in_one_pass(self, documents: Sequence[np.ndarray]) -> "Embedded":
        rows = [row for row, document in enumerate(documents) if len(document)]
        vectors = np.zeros((len(documents), self.dimension), np.float32)
        vectors[rows] = self._encode([self.recent(documents[row]) for row in rows])
        return Embedded(vectors, vectors, [], len(rows), len(rows))

    def recent(self, document: np.ndarray) -> np.ndarray:
        """Return the end of a document that its vector is made of; chunks begin where they did.

        What is returned has the vector of the whole, also after both grow by the same subwords.
        """
        if self._one_pass:
            return document[-self._chunks * self._limit :]
        return recent_part(document, self._limit, self._chunks)

    def subwords(self, document: np.ndarray) -> int:
        """Return how many subwords go through the encoder for a document's vector."""
        if self._one_pass:
            return len(self.recent(document))
        return sum(len(chunk) for chunk, _ in recent_chunks(document, self._limit, self._chunks))

    def closed_keys(self, document: np.ndarray) -> list[bytes]:
        """Return `chunk_key` of the closed chunks that a document's vector averages, newest first.

        Args:
            document: int32 subwords, without [CLS].
        """
        if self._one_pass:
            return []
        chunks = recent_chunks(document, self._limit, self._chunks)
        return [chunk_key(chunk) for chunk, is_closed in chunks if is_closed]


class Embedded(NamedTuple):
    """Vectors and what they cost.

    Attributes:
        vectors: float32[n, d], means over the recent chunks, or of all of them in one pass.
        newest: float32[n, d], of the newest chunk alone, which is what fine-tuning classified; in
            one pass the vectors themselves.
        closed: keys of the closed chunks among those averaged.
        chunks: chunks averaged; in one pass, documents.
        encoded: chunks (documents) that went through the encoder.
    """

    vectors: np.ndarray
    newest: np.ndarray
    closed: list[bytes]
    chunks: int
    encoded: int


def recent_chunks(document: np.ndarray, limit: int, count: int) -> list[tuple[np.ndarray, bool]]:
    """Return the most recent chunks of a document, newest first, each with whether it is closed."""
    if not len(document):
        return []
    chunks = [(document[-limit:], False)]
    closed = (len(document) - 1) // limit  # a full chunk at the very end is the newest one
    for number in range(closed - 1, max(-1, closed - count), -1):
        chunks.append((document[number * limit : (number + 1) * limit], True))
    return chunks


def recent_part(document: np.ndarray, limit: int, count: int) -> np.ndarray:
    """Return the end of a document that holds its recent chunks and begins where a chunk does."""
    closed = max(len(document) - 1, 0) // limit
    # The newest chunk may begin anywhere in the last closed one.
    return document[max(closed - max(count - 1, 1), 0) * limit :]


def chunk_key(chunk: np.ndarray) -> bytes:
    """Return the 16 bytes under which a closed chunk's vector is kept."""
    content = np.ascontiguousarray(chunk, np.int32)
    return hashlib.blake2b(content.tobytes(), digest_size=16).digest()


def embed_examples(
    encoder: Path, tokens: Path, examples: Path, target: Path, *, config: EmbedConfig
) -> None:
    """Write the vector of every example's context, row by row.

    Args:
        encoder: directory written by `pretrain` or `finetune`.
        tokens: directory written by `write_tokens`.
        examples: directory written by `build_examples`.
        target: vectors directory to write.
        config: how.
    """
    stored, alone = load_encoder(encoder), None
    embedder = Embedder(stored, config)
    if config.contexts == "one_pass":
        alone = Embedder(stored, config.model_copy(update={"contexts": "chunks", "chunks": 1}))
    data = Examples.open(examples)
    context = contexts(Tokens.open(tokens), data, limit=None)
    vectors = np.empty((len(data), embedder.dimension), np.float32)
    newest = np.empty_like(vectors)
    with progress("embed", total=len(vectors)) as bar:
        for start in range(0, len(vectors), DOCUMENTS_AT_ONCE):
            rows = range(start, min(start + DOCUMENTS_AT_ONCE, len(vectors)))
            documents = [context(row) for row in rows]
            embedded = embedder.embed_reusing(documents, {})
            vectors[start : rows.stop] = embedded.vectors
            newest[start : rows.stop] = alone.embed(documents) if alone else embedded.newest
            bar.advance(len(rows))
    save_vectors(target, vectors, newest, encoder=embedder.version)


def embed_members(
    encoder: Path,
    tokens: Path,
    target: Path,
    *,
    config: EmbedConfig,
    previous: Path | None,
    shard: tuple[int, int] = (1, 1),
) -> dict[str, int]:
    """Write the activity vector of every member, re-encoding only what changed since `previous`.

    A member whose recent chunks are as they were keeps his vector; another's newest chunk is
    encoded anew, and those closed since.

    Args:
        encoder: directory written by `finetune`.
        tokens: directory written by `write_tokens`.
        target: member vectors directory to write.
        config: how.
        previous: what an earlier call wrote; another encoder's is not used.
        shard: which part of the members, counted from 1, and of how many; those in the order of
            the tokens' rows are equal shares, and `merge_member_vectors` puts them together.

    Returns:
        {"members", "chunks": chunks that vectors were made of, "encoded": those encoded anew}.
    """
    embedder = Embedder.load(encoder, config)
    corpus = Tokens.open(tokens)
    before = _Before.open(previous, embedder)
    kept: dict[bytes, np.ndarray] = {}
    number, count = shard
    first, end = ((corpus.members * place) // count for place in (number - 1, number))
    members = corpus.member_ids.slice(first, end - first)
    vectors = np.empty((len(members), embedder.dimension), np.float32)
    digests = np.empty((len(members), DIGEST_BYTES), np.uint8)
    chunks = encoded = 0
    with progress("embed members", total=len(members)) as bar:
        for start in range(0, len(members), DOCUMENTS_AT_ONCE):
            rows = slice(start, min(start + DOCUMENTS_AT_ONCE, len(members)))
            documents = [corpus.document(first + row) for row in range(rows.start, rows.stop)]
            recent = [embedder.recent(document) for document in documents]
            keys = b"".join(chunk_key(np.append(part, config.chunks)) for part in recent)
            digests[rows] = np.frombuffer(keys, np.uint8).reshape(-1, DIGEST_BYTES)
            same = before.rows(members[rows], digests[rows])
            moved = np.flatnonzero(same < 0)
            embedded = embedder.embed_reusing([documents[row] for row in moved], before.closed)
            vectors[start + moved] = embedded.vectors
            unmoved = np.flatnonzero(same >= 0)
            vectors[start + unmoved] = before.vectors[same[unmoved]]
            closed = [key for row in unmoved for key in embedder.closed_keys(documents[row])]
            kept |= {key: before.closed[key] for key in (*embedded.closed, *closed)}
            chunks += embedded.chunks + len(closed) + sum(len(recent[row]) > 0 for row in unmoved)
            encoded += embedded.encoded
            bar.advance(len(documents))
    save_member_vectors(
        target, MemberVectors(members, vectors, kept, embedder.version, documents=digests)
    )
    logger.info("vectors members=%d chunks=%d encoded=%d", len(members), chunks, encoded)
    return {"members": len(members), "chunks": chunks, "encoded": encoded}


class _Before:
    """What an earlier call wrote, as far as it can be used again."""

    def __init__(self, found: MemberVectors | None, dimension: int):
        self.closed = found.closed if found else {}
        self.vectors = found.vectors if found else np.empty((0, dimension), np.float32)
        self._found = found

    @classmethod
    def open(cls, previous: Path | None, embedder: Embedder) -> Self:
        found = None if previous is None else MemberVectors.open(previous)
        usable = found is not None and found.encoder == embedder.version
        return cls(found if usable else None, embedder.dimension)

    def rows(self, members: pa.ChunkedArray, digests: np.ndarray) -> np.ndarray:
        """Return the rows of members whose vectors were made of the same; -1 for others."""
        if self._found is None or self._found.documents is None:
            return np.full(len(members), -1)
        place = pc.index_in(members, value_set=self._found.member_ids).fill_null(-1)
        row = np.asarray(place, np.int64)
        same = (self._found.documents[np.maximum(row, 0)] == digests).all(axis=1)
        return np.where((row >= 0) & same, row, -1)
