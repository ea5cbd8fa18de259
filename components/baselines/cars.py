"""CARS: two session networks, over queries and over clicks, read by attention at both levels.

Source: Ahmad, Chang, Wang: Context attentive document ranking and query suggestion, SIGIR 2019,
section 3. Its LSTMs are GRUs here, and smaller; its ranking network has two layers, not three.
"""

import torch
from torch import Tensor, nn

from components.baselines.recurrent import (
    Decoder,
    InnerAttention,
    Maxout,
    Start,
    TextEncoder,
    masked_softmax,
    shifted,
    up_to_each,
)
from components.baselines.sequence_config import SequenceConfig
from components.baselines.session_model import SessionModel, Understood
from components.baselines.turn_batches import TurnBatch


class Cars(SessionModel):
    """Context attentive ranking and suggestion.

    Args:
        embedding: of words.
        targets: words that can be written.
        config: sizes.
    """

    def __init__(self, embedding: nn.Embedding, targets: int, config: SequenceConfig):
        super().__init__()
        hidden, dropout = config.hidden, config.dropout
        width = 2 * hidden
        self.embedding, self.entropy = embedding, config.entropy
        self.query = TextEncoder(embedding, hidden, pooling="attention", dropout=dropout)
        self.document = TextEncoder(embedding, hidden, pooling="attention", dropout=dropout)
        self.clicks = InnerAttention(width)
        self.query_session = nn.GRU(width, hidden, batch_first=True)
        self.click_session = nn.GRU(width, hidden, batch_first=True)
        self.query_summary, self.click_summary = InnerAttention(hidden), InnerAttention(hidden)
        self.query_key = nn.Linear(width, hidden, bias=False)
        self.click_key = nn.Linear(width, hidden, bias=False)
        self.shared = nn.Linear(width, hidden, bias=False)
        self.for_ranking = nn.Linear(width, hidden, bias=False)
        self.for_writing = nn.Linear(width, hidden, bias=False)
        self.of_query, self.of_document = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.rank = nn.Sequential(Maxout(4 * hidden, hidden), Maxout(hidden, 1))
        self.begin = nn.Linear(width, hidden)
        self.decoder = Decoder(embedding, hidden, targets, memory=width, dropout=dropout)

    def understand(self, batch: TurnBatch) -> Understood:
        """Read a batch's turns.

        Postings are ranked by the query and by the session before it, as far as it concerns the
        query. The next query starts from both sessions' states, attends to the words
        of the last query, and each of its words is predicted from the sessions' summaries too;
        what ranking and writing learn of a session is partly shared.
        """
        encoded = self.query(batch.queries)
        queries = encoded.vectors[batch.turns]
        documents = self.document(batch.titles).vectors
        clicks = self.clicks(documents[batch.clicked], batch.clicked > 0)
        query_states, _ = self.query_session(queries)
        click_states, _ = self.click_session(clicks)
        reach = up_to_each(batch.present)
        sessions = torch.cat([query_states, click_states], -1).flatten(0, 1)[batch.asked]
        summaries = torch.cat(
            [self.query_summary(query_states, reach), self.click_summary(click_states, reach)], -1
        ).flatten(0, 1)[batch.asked]
        last = batch.turns.flatten()[batch.asked]
        start = Start(
            state=self.begin(sessions),
            memory=encoded.states[last],
            mask=encoded.mask[last],
            offset=self.shared(summaries) + self.for_writing(summaries),
        )
        if not batch.candidates.shape[-1]:
            return Understood(start)
        before = torch.cat(
            [
                _concerning(self.query_key(queries), shifted(query_states), reach),
                _concerning(self.click_key(queries), shifted(click_states), reach),
            ],
            -1,
        )
        wanted = self.of_query(queries) + self.shared(before) + self.for_ranking(before)
        return Understood(start, self._rank(wanted, self.of_document(documents[batch.candidates])))

    def _rank(self, wanted: Tensor, documents: Tensor) -> Tensor:
        wanted = wanted[:, :, None].expand_as(documents)
        features = [wanted, documents, (wanted - documents).abs(), wanted * documents]
        return self.rank(torch.cat(features, -1)).squeeze(-1)


def _concerning(keys: Tensor, before: Tensor, reach: Tensor) -> Tensor:
    """Read the states before each turn, [B, S, d], by the turn's key."""
    return masked_softmax(keys @ before.transpose(1, 2), reach) @ before
