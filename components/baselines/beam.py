"""Beam search: the queries that a model finds most probable."""

from typing import NamedTuple

import torch
from torch import Tensor

from components.baselines.session_model import SessionModel
from components.baselines.turn_batches import TurnBatch
from components.baselines.turns import BEGIN, END, PAD


class Beams(NamedTuple):
    """Written queries, the most probable first.

    Attributes:
        ids: int64[N, beam, words + 1], up to `END`, then `PAD`; in ids of the batch.
        log_p: float[N, beam], minus infinity where there were fewer queries.
    """

    ids: Tensor
    log_p: Tensor


@torch.no_grad()
def beam_search(model: SessionModel, batch: TurnBatch, *, beam: int, words: int) -> Beams:
    """Write the next queries for each window of a batch.

    Args:
        model: in evaluation mode.
        batch: made by `asking_batch`.
        beam: queries kept at every word, and returned.
        words: most words of a query; it ends there, at the price of ending.
    """
    start = model.understand(batch).start
    count, hidden = start.state.shape
    state = start.state[:, None].expand(-1, beam, -1)
    ids = torch.full((count, beam, 1), BEGIN, dtype=torch.long, device=state.device)
    log_p = torch.full((count, beam), -torch.inf, device=state.device)
    log_p[:, 0] = 0  # one empty query to begin with
    for place in range(words + 1):
        last = ids[..., -1]
        ended = (last == END) | (last == PAD)
        read = batch.read[last].reshape(-1, 1)
        outputs, states = model.decoder.advance(state.reshape(-1, hidden), read)
        # The beams of a query share what it attends to, as the words of one do while training.
        step = model.decoder.log_probabilities(start, outputs.view(count, beam, hidden))
        step[..., [PAD, BEGIN]] = -torch.inf
        if place == 0:
            step[..., END] = -torch.inf  # an empty query suggests nothing
        if place == words:
            step[..., END + 1 :] = -torch.inf
            step[..., :END] = -torch.inf
        step = step.masked_fill(ended[..., None], -torch.inf)
        step[..., PAD] = step[..., PAD].where(~ended, 0)
        log_p, best = (log_p[..., None] + step).flatten(1).topk(beam)
        parent, word = best // step.shape[-1], best % step.shape[-1]
        row = torch.arange(count, device=state.device)[:, None]
        state = states.view(count, beam, hidden)[row, parent]
        ids = torch.cat([ids[row, parent], word[..., None]], -1)
        if ((word == END) | (word == PAD)).all():
            break
    return Beams(ids[..., 1:], log_p)
