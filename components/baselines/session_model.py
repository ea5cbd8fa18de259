"""What the sequence baselines have in common: word vectors, a decoder, and the multi-task loss."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from components.baselines.recurrent import Decoder, Start
from components.baselines.turn_batches import TurnBatch
from components.baselines.turns import PAD, UNKNOWN


class Understood(NamedTuple):
    """What a model makes of a batch.

    Attributes:
        start: where the decoder starts for each of `batch.asked`.
        scores: float[B, S, 1 + candidates], of the batch's candidate postings; None for a model
            that ranks none, or a batch without them.
    """

    start: Start
    scores: Tensor | None = None


class SessionModel(nn.Module, ABC):
    """Understands turns and writes the next query.

    Attributes:
        embedding: of words, shared by all encoders and the decoder.
        decoder: writes queries.
        entropy: weight of the decoder's negative entropy in the loss.
    """

    embedding: nn.Embedding
    decoder: Decoder
    entropy: float = 0.0

    @abstractmethod
    def understand(self, batch: TurnBatch) -> Understood:
        """Read a batch's turns."""

    def losses(self, batch: TurnBatch) -> tuple[Tensor, Tensor]:
        """Return the loss of the next queries, in sum, and of the ranked postings, in mean."""
        start, scores = self.understand(batch)
        outputs, _ = self.decoder.advance(start.state, batch.began)
        log_p = self.decoder.log_probabilities(start, outputs)
        written = (batch.next != PAD).float()
        # Words that could be copied are unknown to a decoder that does not copy.
        words = batch.next.where(batch.next < log_p.shape[-1], UNKNOWN)
        loss = -log_p.gather(-1, words[..., None]).squeeze(-1)
        if self.entropy:
            loss = loss + self.entropy * (log_p.exp() * log_p).sum(-1)
        suggestion = (loss * written).sum()
        if scores is None:
            return suggestion, suggestion.new_zeros(())
        return suggestion, ranking_loss(scores, batch.candidates)


def ranking_loss(scores: Tensor, candidates: Tensor) -> Tensor:
    """Return the binary cross-entropy of candidate postings: the first was clicked, others not."""
    shown = (candidates > 0).float()
    clicked = torch.zeros_like(scores)
    clicked[..., 0] = 1
    loss = binary_cross_entropy_with_logits(scores, clicked, weight=shown, reduction="sum")
    return loss / shown.sum().clamp(min=1)
