"""Recurrent pieces that the sequence baselines share: text encoders, attention, the decoder."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from components.baselines.turns import PAD

Pooling = Literal["last", "max", "attention"]


class Encoded(NamedTuple):
    """Texts as vectors.

    Attributes:
        vectors: float[n, 2 * hidden], 0 for an empty text.
        states: float[n, L, 2 * hidden], after each word, 0 behind the last.
        mask: bool[n, L], which words there are.
    """

    vectors: Tensor
    states: Tensor
    mask: Tensor


class TextEncoder(nn.Module):
    """A bidirectional GRU over a text's words, pooled to one vector.

    Args:
        embedding: of the words.
        hidden: units in either direction.
        pooling: the "last" state in either direction, the "max" of each unit, or the sum weighted
            by inner "attention".
        dropout: on word vectors.
    """

    def __init__(self, embedding: nn.Embedding, hidden: int, *, pooling: Pooling, dropout: float):
        super().__init__()
        self.embedding = embedding
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(embedding.embedding_dim, hidden, batch_first=True, bidirectional=True)
        self.pooling = pooling
        if pooling == "attention":
            self.attention = InnerAttention(2 * hidden)

    def forward(self, ids: Tensor) -> Encoded:
        """Encode texts of ids [n, L], `PAD` behind the last word."""
        mask = ids != PAD
        lengths = mask.sum(1).clamp(min=1).cpu()
        words = self.dropout(self.embedding(ids))
        packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
        packed_states, ends = self.gru(packed)
        states, _ = pad_packed_sequence(packed_states, batch_first=True, total_length=ids.shape[1])
        states = states * mask[..., None]
        if self.pooling == "attention":
            return Encoded(self.attention(states, mask), states, mask)
        if self.pooling == "last":
            pooled = ends.transpose(0, 1).flatten(1)
        else:
            pooled = states.masked_fill(~mask[..., None], -torch.inf).amax(1)
        return Encoded(pooled.masked_fill(~mask.any(1, keepdim=True), 0), states, mask)


class InnerAttention(nn.Module):
    """A weighted sum of states, their weights learnt from each alone: v tanh(W s)."""

    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool states [..., L, d], those of a bool mask [..., L], to [..., d].

        The mask may have more leading dimensions than the states: [B, N, L] pools states [B, L, d]
        in N ways to [B, N, d].
        """
        scores = self.score(states).squeeze(-1)
        if mask.dim() > scores.dim():
            return masked_softmax(scores[:, None], mask) @ states
        return (masked_softmax(scores, mask)[..., None, :] @ states).squeeze(-2)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Share 1 among the unmasked scores of the last dimension; all 0 where there is none."""
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
    return weights * mask


@dataclass(frozen=True)
class Start:
    """What a decoder knows before the first word of N queries.

    Attributes:
        state: float[N, hidden].
        memory: float[N, W, m], what attention reads; None without attention.
        mask: bool[N, W], which of it there is.
        offset: float[N, hidden], added to what words are predicted from; None for nothing.
    """

    state: Tensor
    memory: Tensor | None = None
    mask: Tensor | None = None
    offset: Tensor | None = None


class Decoder(nn.Module):
    """A GRU that writes a query word by word, reading a memory by general attention if it has one.

    Attention follows the recurrent step and is not fed back to it, so that training runs over all
    words of a query at once.

    Args:
        embedding: of the words.
        hidden: units.
        targets: words that it can write, the first ids.
        memory: width of what attention reads; None without attention.
        dropout: on word vectors.

    Source of the attention: Luong, Pham, Manning: Effective approaches to attention-based neural
    machine translation, EMNLP 2015, section 3.1 ("general").
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        hidden: int,
        targets: int,
        *,
        memory: int | None,
        dropout: float,
    ):
        super().__init__()
        self.embedding = embedding
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(embedding.embedding_dim, hidden, batch_first=True)
        self.write = nn.Linear(hidden, targets)
        if memory is not None:
            self.key = nn.Linear(hidden, memory, bias=False)
            self.mix = nn.Linear(hidden + memory, hidden)

    def advance(self, state: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Read words [n, L] from states [n, hidden]; return outputs [n, L, hidden] and states."""
        outputs, last = self.gru(self.dropout(self.embedding(words)), state[None].contiguous())
        return outputs, last[0]

    def log_probabilities(self, start: Start, outputs: Tensor) -> Tensor:
        """Return each next word's log probability, [N, L, words], after outputs [N, L, hidden]."""
        return log_softmax(self.write(self.attended(start, outputs)[0]), -1)

    def attended(self, start: Start, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what words are predicted from, [N, L, hidden], and attention's weights."""
        weights = None
        if start.memory is not None:
            weights = self.weights(start, outputs)
            outputs = torch.tanh(self.mix(torch.cat([outputs, weights @ start.memory], -1)))
        if start.offset is not None:
            outputs = outputs + start.offset[:, None]
        return outputs, weights

    def weights(self, start: Start, outputs: Tensor) -> Tensor:
        """Return the attention on the memory, [N, L, W]."""
        assert start.memory is not None
        assert start.mask is not None
        scores = self.key(outputs) @ start.memory.transpose(1, 2)
        return masked_softmax(scores, start.mask[:, None])


class Maxout(nn.Module):
    """A layer whose units are the largest of some linear functions of the input."""

    def __init__(self, inputs: int, outputs: int, pieces: int = 2):
        super().__init__()
        self.linear, self.pieces = nn.Linear(inputs, outputs * pieces), pieces

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [..., inputs] to [..., outputs]."""
        return self.linear(inputs).unflatten(-1, (-1, self.pieces)).amax(-1)


def shifted(states: Tensor) -> Tensor:
    """Return the states before each turn, [B, S, d]: 0 before the first."""
    return torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)


def up_to_each(present: Tensor) -> Tensor:
    """Tell which turns each turn may look back on, itself among them: [B, S] to [B, S, S]."""
    size = present.shape[1]
    earlier = torch.ones(size, size, dtype=torch.bool, device=present.device).tril()
    return earlier & present[:, None]
