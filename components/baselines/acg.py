"""ACG: a sequence-to-sequence model that attends to queries and their words, and copies words.

Source: Dehghani, Rothe, Alfonseca, Fleury: Learning to attend, copy, and generate for session-based
query suggestion, CIKM 2017, section 3. Copying and writing are one mixture here, learnt by its
likelihood, in place of the paper's sum of a copier's, a writer's and a switch's losses.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from components.baselines.recurrent import Decoder, Start, TextEncoder, masked_softmax
from components.baselines.sequence_config import SequenceConfig
from components.baselines.session_model import SessionModel, Understood
from components.baselines.turn_batches import TurnBatch

# Of a word that can be copied but is nowhere, so that its logarithm is finite.
_LEAST = 1e-10


class Acg(SessionModel):
    """Attend, copy, generate.

    Args:
        embedding: of words.
        targets: words that can be written.
        config: sizes.
    """

    def __init__(self, embedding: nn.Embedding, targets: int, config: SequenceConfig):
        super().__init__()
        hidden, dropout = config.hidden, config.dropout
        self.embedding = embedding
        self.query = TextEncoder(embedding, hidden, pooling="last", dropout=dropout)
        self.session = nn.GRU(2 * hidden, hidden, batch_first=True)
        self.decoder = CopyingDecoder(embedding, hidden, targets, dropout=dropout)

    def understand(self, batch: TurnBatch) -> Understood:
        """Read a batch's queries; the next one starts from the session's state.

        Words are encoded within their query, queries within the session.
        """
        encoded = self.query(batch.queries)
        states, _ = self.session(encoded.vectors[batch.turns])
        window = batch.asked // batch.turns.shape[1]
        turns, length = batch.turns[window], batch.queries.shape[1]
        place = torch.arange(turns.shape[1], device=turns.device)
        seen = place <= (batch.asked % turns.shape[1])[:, None]
        words = (encoded.mask[turns] & seen[..., None]).flatten(1)
        return Understood(
            CopyStart(
                state=states.flatten(0, 1)[batch.asked],
                memory=encoded.states[turns].flatten(1, 2),
                mask=words,
                queries=states[window],
                seen=seen,
                query_of=place.repeat_interleave(length),
                ids=batch.spelt[turns].flatten(1),
                words=len(batch.read),
            )
        )


@dataclass(frozen=True, kw_only=True)
class CopyStart(Start):
    """What a copying decoder knows before the first word of N queries.

    Attributes:
        queries: float[N, S, hidden], state of the session after each query.
        seen: bool[N, S], which of them there are.
        query_of: int64[W], the query that each place of the memory belongs to.
        ids: int64[N, W], the word at each place.
        words: ids that can be written or copied.
    """

    queries: Tensor
    seen: Tensor
    query_of: Tensor
    ids: Tensor
    words: int


class CopyingDecoder(Decoder):
    """Writes a word of its own or copies one that it attends to, as a gate has it.

    Args:
        embedding: of words.
        hidden: units.
        targets: words that it can write.
        dropout: on word vectors.
    """

    def __init__(self, embedding: nn.Embedding, hidden: int, targets: int, *, dropout: float):
        super().__init__(embedding, hidden, targets, memory=2 * hidden, dropout=dropout)
        self.query_key = nn.Linear(hidden, hidden, bias=False)
        self.gate = nn.Linear(hidden, 1)

    def weights(self, start: Start, outputs: Tensor) -> Tensor:
        """Return a word's attention times that of its query, in shares of 1."""
        assert isinstance(start, CopyStart)
        words = super().weights(start, outputs)
        scores = self.query_key(outputs) @ start.queries.transpose(1, 2)
        queries = masked_softmax(scores, start.seen[:, None])
        weights = words * queries[..., start.query_of]
        return weights / weights.sum(-1, keepdim=True).clamp(min=_LEAST)

    def log_probabilities(self, start: Start, outputs: Tensor) -> Tensor:
        """Return log probabilities of the words that can be written or copied, [N, L, words]."""
        assert isinstance(start, CopyStart)
        mixed, weights = self.attended(start, outputs)
        assert weights is not None
        written = self.write(mixed).softmax(-1)
        writes = torch.sigmoid(self.gate(mixed))
        beyond = start.words - written.shape[-1]
        words = nn.functional.pad(writes * written, (0, beyond))
        ids = start.ids[:, None].expand_as(weights)
        return words.scatter_add(-1, ids, (1 - writes) * weights).clamp(min=_LEAST).log()
