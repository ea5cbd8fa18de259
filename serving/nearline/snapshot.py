"""The daily run that updates start from: documents, closed chunks and past labels, by member."""

import hashlib
import logging
from bisect import bisect_left
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from components.encoder.embed import Embedder
from components.encoder.vectors import MemberVectors
from components.labels.trails import past_labels
from components.text.documents import MANIFEST, Tokens
from serving.nearline.errors import NearlineError
from serving.nearline.predictor import Predictor
from serving.nearline.trail import Trail

logger = logging.getLogger(__name__)


class Snapshot:
    """Every member's trail as the last daily run saw it.

    Attributes:
        identity: of its content.
        data_time: of its newest action, microseconds UTC.
    """

    def __init__(self, tokens: Tokens, vectors: MemberVectors, past: sp.csr_matrix, identity: str):
        self._tokens, self._past = tokens, past
        self._closed, self._encoder = vectors.closed, vectors.encoder
        ids = tokens.member_ids.combine_chunks()
        order = pc.sort_indices(ids)
        self._rows, self._ids = order.to_numpy(), ids.take(order)
        self.identity = identity
        self.data_time = max((int(s.session_end.max(initial=0)) for s in tokens.shards), default=0)

    @classmethod
    def open(cls, run: Path, predictor: Predictor) -> Self:
        """Open what the daily run left of its members.

        Args:
            run: directory of a finished run; its `sessions`, `tokens` and `vectors` are read.
            predictor: that will extend the trails; its encoder made the run's vectors.

        Raises:
            NearlineError: documents and vectors are not of the same members, or documents are not
                of the encoder's vocabulary.
            IntentError: a file is missing or damaged; names it.
        """
        tokens = Tokens.open(run / "tokens" / "tokens")
        vectors = MemberVectors.open(run / "vectors" / "vectors")
        members = tokens.member_ids
        if not members.equals(pa.chunked_array(vectors.member_ids)):
            raise NearlineError(f"{run}: tokens and vectors are not of the same members")
        if tokens.vocabulary != predictor.embedder.vocabulary.hash:
            raise NearlineError(f"{run}: tokens are not of the vocabulary of the package's encoder")
        if tokens.sequence == "query":
            predictor.read_queries_only()
        sessions = run / "sessions" / "sessions"
        past = past_labels(sessions, predictor.labels, members, predictor.vertical)
        manifest = (run / "tokens" / "tokens" / MANIFEST).read_bytes()
        identity = hashlib.blake2b(manifest + vectors.encoder.encode(), digest_size=8).hexdigest()
        snapshot = cls(tokens, vectors, past, identity)
        logger.info("snapshot=%s members=%d data_time=%d", run, len(members), snapshot.data_time)
        return snapshot

    def trail(self, member_id: str, embedder: Embedder) -> Trail:
        """Return a member's trail; an empty one where the run did not know him."""
        place = bisect_left(range(len(self._ids)), member_id, key=lambda at: self._ids[at].as_py())
        if place == len(self._ids) or self._ids[place].as_py() != member_id:
            return Trail.empty(embedder.dimension)
        row = int(self._rows[place])
        document = embedder.recent(np.array(self._tokens.document(row)))
        keys = embedder.closed_keys(document) if self._encoder == embedder.version else []
        known = [self._closed[key] for key in keys if key in self._closed]
        chunks = np.array(known, np.float32).reshape(-1, embedder.dimension)
        return Trail(
            document,
            chunks if len(known) == len(keys) else chunks[:0],
            np.sort(self._past[row].indices).astype(np.int32),
            int(self._tokens.session_end(row)[-1]),
            bool(self._tokens.session_lengths(row)[-1]),
        )
