"""MNSRF: a session state over queries ranks postings and starts the next query.

Source: Ahmad, Chang, Wang: Multi-task learning for document ranking and query suggestion, ICLR
2018, section 3. Its LSTMs are GRUs here, and smaller.
"""

import torch
from torch import nn

from components.baselines.recurrent import Decoder, Start, TextEncoder, shifted
from components.baselines.sequence_config import SequenceConfig
from components.baselines.session_model import SessionModel, Understood
from components.baselines.turn_batches import TurnBatch


class Mnsrf(SessionModel):
    """Multi-task neural session relevance framework.

    Args:
        embedding: of words.
        targets: words that can be written.
        config: sizes.
    """

    def __init__(self, embedding: nn.Embedding, targets: int, config: SequenceConfig):
        super().__init__()
        hidden, dropout = config.hidden, config.dropout
        self.embedding, self.entropy = embedding, config.entropy
        self.query = TextEncoder(embedding, hidden, pooling="max", dropout=dropout)
        self.document = TextEncoder(embedding, hidden, pooling="max", dropout=dropout)
        self.session = nn.GRU(2 * hidden, hidden, batch_first=True)
        self.wanted = nn.Linear(3 * hidden, 2 * hidden)
        self.decoder = Decoder(embedding, hidden, targets, memory=None, dropout=dropout)

    def understand(self, batch: TurnBatch) -> Understood:
        """Read a batch's turns.

        A posting is ranked by the query and the session before it; the next query
        starts from the session with the query. Clicks are not read.
        """
        queries = self.query(batch.queries).vectors[batch.turns]
        states, _ = self.session(queries)
        start = Start(states.flatten(0, 1)[batch.asked])
        if not batch.candidates.shape[-1]:
            return Understood(start)
        wanted = torch.tanh(self.wanted(torch.cat([queries, shifted(states)], -1)))
        documents = self.document(batch.titles).vectors[batch.candidates]
        return Understood(start, (documents @ wanted[..., None]).squeeze(-1))
