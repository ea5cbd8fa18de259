"""LostNet: the session so far, and a memory of the member's earlier sessions, make the intent.

Source: Cheng et al.: Long short-term session search: joint personalized reranking and next query
prediction, WWW 2021, section 3. Its LSTMs are GRUs here, and smaller; the memory holds the sessions
among the turns that a model sees.
"""

import torch
from torch import Tensor, nn

from components.baselines.recurrent import (
    Decoder,
    InnerAttention,
    Start,
    TextEncoder,
    masked_softmax,
    up_to_each,
)
from components.baselines.sequence_config import SequenceConfig
from components.baselines.session_model import SessionModel, Understood
from components.baselines.turn_batches import TurnBatch


class LostNet(SessionModel):
    """Long short-term session search network.

    Args:
        embedding: of words.
        targets: words that can be written.
        config: sizes.
    """

    def __init__(self, embedding: nn.Embedding, targets: int, config: SequenceConfig):
        super().__init__()
        hidden, dropout = config.hidden, config.dropout
        width = 2 * hidden
        self.embedding = embedding
        self.query = TextEncoder(embedding, hidden, pooling="attention", dropout=dropout)
        self.document = TextEncoder(embedding, hidden, pooling="attention", dropout=dropout)
        self.turn = nn.GRU(2 * width, hidden, batch_first=True)
        self.summary = InnerAttention(hidden)
        self.hops = nn.ModuleList(
            nn.Linear(hidden, hidden, bias=False) for _ in range(config.hops - 1)
        )
        self.hop_weights = nn.Parameter(torch.zeros(config.hops))
        self.gate = nn.Linear(2 * hidden, hidden, bias=False)
        self.wanted = nn.Linear(width + hidden, width)
        self.begin = nn.Linear(hidden, hidden)
        self.decoder = Decoder(embedding, hidden, targets, memory=width, dropout=dropout)

    def understand(self, batch: TurnBatch) -> Understood:
        """Read a batch's turns.

        The intent at a query is what the session was about before it and what a
        memory of earlier sessions tells of that. Postings are ranked by the query and
        the intent; the next query starts from the intent and attends to the query's words.
        """
        encoded = self.query(batch.queries)
        queries = encoded.vectors[batch.turns]
        documents = self.document(batch.titles).vectors
        count = (batch.clicked > 0).sum(-1, keepdim=True).clamp(min=1)
        clicks = documents[batch.clicked].sum(2) / count
        states = self._within_sessions(torch.cat([queries, clicks], -1), batch)
        intent = self._intent(states, batch)
        last = batch.turns.flatten()[batch.asked]
        start = Start(
            state=torch.tanh(self.begin(intent.flatten(0, 1)[batch.asked])),
            memory=encoded.states[last],
            mask=encoded.mask[last],
        )
        if not batch.candidates.shape[-1]:
            return Understood(start)
        wanted = torch.tanh(self.wanted(torch.cat([queries, intent], -1)))
        return Understood(start, (documents[batch.candidates] @ wanted[..., None]).squeeze(-1))

    def _within_sessions(self, turns: Tensor, batch: TurnBatch) -> Tensor:
        """Run the turns' network over each session by itself; return states [B, S, hidden]."""
        size = turns.shape[1]
        opens = torch.ones_like(batch.present)
        opens[:, 1:] = batch.session[:, 1:] != batch.session[:, :-1]
        row = opens.flatten().cumsum(0) - 1
        turn = torch.arange(size, device=turns.device).expand_as(opens)
        place = (turn - torch.where(opens, turn, 0).cummax(1).values).flatten()
        sessions = turns.new_zeros(int(row[-1]) + 1, int(place.max()) + 1, turns.shape[-1])
        states, _ = self.turn(sessions.index_put((row, place), turns.flatten(0, 1)))
        return states[row, place].unflatten(0, opens.shape)

    def _intent(self, states: Tensor, batch: TurnBatch) -> Tensor:
        """Join the session before each turn with the memory of the sessions before it."""
        reach = up_to_each(batch.present)
        same = reach & (batch.session[:, :, None] == batch.session[:, None])
        before = same.tril(-1)
        now = self.summary(states, before)
        # A session's slot is what it was about at its end, the turn before another session's.
        closes = torch.zeros_like(batch.present)
        closes[:, :-1] = batch.session[:, 1:] != batch.session[:, :-1]
        slots = self.summary(states, same)
        written = reach & ~same & closes[:, None]
        read = torch.tanh(now)
        readings = []
        for hop in range(len(self.hops) + 1):
            found = masked_softmax(read @ slots.transpose(1, 2), written) @ slots
            readings.append(found)
            if hop < len(self.hops):
                read = torch.tanh(self.hops[hop](now + found))
        profile = torch.stack(readings, -1) @ self.hop_weights.softmax(0)
        gate = torch.sigmoid(self.gate(torch.cat([now, profile], -1)))
        return gate * now + (1 - gate) * profile
