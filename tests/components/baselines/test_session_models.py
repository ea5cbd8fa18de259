"""What the four models see, what they copy, and what they learn."""

import numpy as np
import pytest
import torch
from torch import nn

from components.activity.config import JOBS
from components.baselines.acg import Acg
from components.baselines.beam import beam_search
from components.baselines.sequence import MODELS
from components.baselines.sequence_config import SequenceConfig
from components.baselines.session_model import ranking_loss
from components.baselines.turn_batches import (
    Windows,
    asking_batch,
    training_batch,
    training_windows,
)
from components.baselines.turns import learn_lexicon, read_turns
from tests.components.baselines.trails import posting, search, write_sessions

CONFIG = SequenceConfig(hidden=8, turns=6, clicks=2, words=4, minimum_count=1, dropout=0)
EVERYONE = np.arange(2)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def turns(tmp_path):
    ann = [
        search("data engineer"),
        posting("VIEW", "Acme", "Engineer"),
        search("nurse"),
        search("data", session=2),
        posting("VIEW", "Acme", "Data Analyst", session=2),
        posting("APPLY", "Acme", "Engineer", session=2),
        search("senior data engineer", session=2),
        search("nurse", session=3),
        search("data", session=4),
    ]
    bob = [search("nurse"), posting("VIEW", "Acme", "Nurse"), search("data engineer", session=2)]
    return read_turns(
        write_sessions(tmp_path / "sessions", {"ann": ann, "bob": bob}),
        JOBS,
        clicks=CONFIG.clicks,
    )


def new_model(method, lexicon, config=CONFIG):
    torch.manual_seed(1)
    return MODELS[method](nn.Embedding(lexicon.known, 6), lexicon.targets, config).eval()


def windows(*spans):
    return Windows(*(np.array(edge) for edge in zip(*spans, strict=True)))


@pytest.mark.parametrize("method", MODELS)
def test_a_query_is_predicted_from_the_turns_before_it_alone(turns, method):
    """Training sees whole windows: after each turn it must know what one who asks there knows."""
    lexicon = learn_lexicon(turns, EVERYONE, CONFIG)
    model = new_model(method, lexicon)
    whole = training_batch(
        turns, lexicon, windows((0, 6), (6, 8)), CONFIG, np.random.default_rng(1)
    )
    asked = asking_batch(
        turns, lexicon, windows(*((0, end) for end in range(1, 6)), (6, 7)), CONFIG
    )
    torch.testing.assert_close(first_words(model, whole), first_words(model, asked))


def first_words(model, batch):
    start = model.understand(batch).start
    outputs, _ = model.decoder.advance(start.state, torch.full((len(batch.asked), 1), 2))
    return model.decoder.log_probabilities(start, outputs)


@pytest.mark.parametrize("method", MODELS)
def test_words_have_probabilities_that_sum_to_one(turns, method):
    lexicon = learn_lexicon(turns, EVERYONE, CONFIG.model_copy(update={"vocabulary": 2}))
    model = new_model(method, lexicon)
    batch = asking_batch(turns, lexicon, windows((0, 6), (6, 8)), CONFIG)
    total = first_words(model, batch).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("method", ["MNSRF", "CARS", "LostNet"])
def test_a_posting_is_ranked_by_what_was_known_when_it_was_shown(turns, method):
    """Neither the clicks of the query itself nor later turns may speak for a candidate."""
    lexicon = learn_lexicon(turns, EVERYONE, CONFIG)
    model = new_model(method, lexicon)
    batch = training_batch(turns, lexicon, windows((0, 6)), CONFIG, np.random.default_rng(1))
    later = batch._replace(clicked=batch.clicked.clone(), turns=batch.turns.clone())
    later.clicked[0, 2:] = 0
    later.turns[0, 3:] = 0
    before, after = (model.understand(b).scores[0, :3] for b in (batch, later))
    torch.testing.assert_close(before, after)


def test_a_missing_candidate_does_not_count(turns):
    scores = torch.tensor([[[2.0, -1.0, 9.0], [5.0, 5.0, 5.0]]])
    candidates = torch.tensor([[[3, 1, 0], [0, 0, 0]]])
    expected = (np.log1p(np.exp(-2)) + np.log1p(np.exp(-1))) / 2
    assert ranking_loss(scores, candidates).item() == pytest.approx(expected)


@pytest.mark.parametrize("method", MODELS)
def test_a_model_learns_a_toy_trail_by_heart(turns, method):
    lexicon = learn_lexicon(turns, EVERYONE, CONFIG)
    model = new_model(method, lexicon, CONFIG.model_copy(update={"hidden": 16, "entropy": 0}))
    draw = np.random.default_rng(1)
    batch = training_batch(turns, lexicon, training_windows(turns, EVERYONE, 6), CONFIG, draw)
    learn(model, lambda step: batch, steps=80)
    asked = asking_batch(turns, lexicon, windows((0, 3), (6, 7)), CONFIG)
    found = beam_search(model, asked, beam=2, words=CONFIG.words).ids[:, 0]
    written = [lexicon.text(ids) for ids in found.tolist()]
    assert written == ["senior data engineer", "data engineer"]


def test_acg_copies_words_that_it_cannot_write(tmp_path):
    """Everybody repeats a query of words that nobody else uses: there is nothing else to learn."""
    trails = {f"m{i:03d}": [search(f"job w{i} v{i}"), search(f"job w{i} v{i}")] for i in range(60)}
    turns = read_turns(write_sessions(tmp_path / "sessions", trails), JOBS, clicks=1)
    config = CONFIG.model_copy(update={"hidden": 16, "minimum_count": 3})
    lexicon = learn_lexicon(turns, np.arange(60), config)
    assert lexicon.words[: lexicon.targets][4:] == ["job"]
    torch.manual_seed(1)
    model = Acg(nn.Embedding(lexicon.known, 6), lexicon.targets, config)
    learners = training_windows(turns, np.arange(40), 6)
    draw = np.random.default_rng(1)

    def batch(step):
        chosen = draw.permutation(40)[:20]
        some = Windows(learners.start[chosen], learners.end[chosen])
        return training_batch(turns, lexicon, some, config, draw)

    learn(model, batch, steps=200)
    others = turns.offsets[40:60]
    asked = asking_batch(turns, lexicon, Windows(others, others + 1), config)
    found = beam_search(model, asked, beam=4, words=config.words).ids[:, 0].numpy()
    spelling = np.concatenate([np.arange(asked.targets), asked.copied.numpy()])
    written = [lexicon.text(ids) for ids in spelling[found].tolist()]
    right = sum(text == f"job w{i} v{i}" for i, text in enumerate(written, 40))
    assert right >= 18


def learn(model, batch, *, steps):
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
    for step in range(steps):
        some = batch(step)
        suggestion, ranking = model.losses(some)
        optimiser.zero_grad()
        (suggestion / len(some.asked) + ranking).backward()
        optimiser.step()
