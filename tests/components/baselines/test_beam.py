"""Beam search finds what trying every query would find."""

import itertools

import pytest
import torch
from torch import nn

from components.baselines.beam import beam_search
from components.baselines.sequence import MODELS
from components.baselines.sequence_config import SequenceConfig
from components.baselines.turn_batches import TurnBatch
from components.baselines.turns import BEGIN, END, PAD, UNKNOWN

CONFIG = SequenceConfig(hidden=4, dropout=0)
TARGETS = 6  # two words beside the special ones
WORDS = 3


pytestmark = pytest.mark.usefixtures("one_thread")


def asking(queries):
    """Ask what follows one window of queries, each of known words."""
    longest = max(map(len, queries))
    ids = torch.tensor([query + [PAD] * (longest - len(query)) for query in queries])
    size = len(queries)
    return TurnBatch(
        queries=ids,
        spelt=ids,
        titles=torch.zeros(1, 1, dtype=torch.long),
        turns=torch.arange(size)[None],
        present=torch.ones(1, size, dtype=torch.bool),
        session=torch.zeros(1, size, dtype=torch.long),
        clicked=torch.zeros(1, size, 1, dtype=torch.long),
        candidates=torch.zeros(1, size, 0, dtype=torch.long),
        asked=torch.tensor([size - 1]),
        next=torch.zeros(1, 0, dtype=torch.long),
        read=torch.arange(TARGETS),
        copied=torch.zeros(0, dtype=torch.long),
    )


def every_query(model, batch):
    """Score all queries of up to `WORDS` words by the probability of writing each."""
    scores = {}
    words = [UNKNOWN, *range(END + 1, TARGETS)]
    for length in range(1, WORDS + 1):
        for query in itertools.product(words, repeat=length):
            written = torch.tensor([[*query, END]])
            start = model.understand(batch).start
            outputs, _ = model.decoder.advance(start.state, torch.tensor([[BEGIN, *query]]))
            log_p = model.decoder.log_probabilities(start, outputs)
            scores[query] = log_p.gather(-1, written[..., None]).sum().item()
    return sorted(scores.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("method", MODELS)
def test_a_beam_wide_enough_finds_every_query_in_the_order_of_probability(method):
    torch.manual_seed(3)
    model = MODELS[method](nn.Embedding(TARGETS, 4), TARGETS, CONFIG).eval()
    batch = asking([[4, 5], [5]])
    with torch.no_grad():
        expected = every_query(model, batch)
    found = beam_search(model, batch, beam=len(expected) + 5, words=WORDS)
    queries = [tuple(i for i in ids if i not in (END, PAD)) for ids in found.ids[0].tolist()]
    known = int(found.log_p[0].isfinite().sum())
    assert known == len(expected)
    assert queries[:known] == [query for query, _ in expected]
    torch.testing.assert_close(
        found.log_p[0, :known], torch.tensor([score for _, score in expected])
    )
