"""A corpus of forty members, small encoders, and what HuggingFace makes of the same documents."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from components.activity.config import JOBS, SplitConfig
from components.encoder.config import EncoderConfig, PretrainConfig
from components.encoder.heads import MaskedLanguageModel
from components.encoder.model import Bert
from components.encoder.pretrain import MaskedLanguageTask, pretrain
from components.encoder.weights import cpu_state, save_encoder
from components.labels.config import ExamplesConfig
from components.labels.examples import Examples, build_examples
from components.text.config import TextConfig
from components.text.documents import Tokens, write_tokens
from components.text.vocabulary import Vocabulary, train_vocabulary

SPLIT = SplitConfig(validation=0.2, test=0.1)
TINY = EncoderConfig(layers=2, hidden=16, heads=2, intermediate=48, max_tokens=64)
FIELDS = ("data engineer", "ward nurse", "truck driver", "tax lawyer", "看護師 night")

# On models this small further threads only wait for each other.
torch.set_num_threads(1)


class Corpus(NamedTuple):
    """Directories of one small corpus."""

    sessions: Path
    vocabulary: Path
    tokens: Path
    examples: Path

    def open(self):
        return Tokens.open(self.tokens), Vocabulary.load(self.vocabulary)

    def labels(self):
        return Examples.open(self.examples)


def trail(member, sessions, *, random):
    field = FIELDS[random.integers(len(FIELDS))]
    for session in range(1, sessions + 1):
        level = ("junior", "senior", "lead")[random.integers(3)]
        yield (member, session, "JOB_SEARCH", f"{level} {field}")
        for _ in range(random.integers(1, 5)):
            yield (member, session, "VIEW", f"firm {random.integers(6)}", f"{field} {level}")
        yield (member, session, "APPLY", f"firm {random.integers(6)}", field)


@pytest.fixture(scope="session")
def write_corpus(tmp_path_factory, write_parts_in):
    """Write a corpus of members and their session counts; `like` lends its vocabulary."""

    def write(sessions_of, *, like=None, split=SPLIT, labelled=True):
        home = tmp_path_factory.mktemp("corpus")
        parts = [[], []]
        for number, (member, sessions) in enumerate(sessions_of.items()):
            random = np.random.default_rng(number)
            parts[number % 2] += trail(member, sessions, random=random)
        sessions = write_parts_in(home / "sessions", *parts)
        text = TextConfig(vocabulary_size=600)
        vocabulary = like.vocabulary if like else home / "vocabulary"
        if not like:
            train_vocabulary(sessions, vocabulary, text, JOBS, split=split, seed=0)
        write_tokens(sessions, vocabulary, home / "tokens", text, split=split, seed=0)
        if labelled:
            config = ExamplesConfig(minimum_label_count=1)
            build_examples(sessions, home / "examples", config, JOBS, split=split, seed=0)
        return Corpus(sessions, vocabulary, home / "tokens", home / "examples")

    return write


@pytest.fixture(scope="session")
def corpus(write_corpus):
    return write_corpus({f"member {number:02d}": 1 + number % 7 for number in range(40)})


@pytest.fixture(scope="session")
def language_task(corpus):
    """Make a pre-training task over the corpus."""

    def make(encoder=TINY, seed=0, **config):
        tokens, vocabulary = corpus.open()
        torch.manual_seed(seed)
        return MaskedLanguageTask(tokens, vocabulary, encoder, PretrainConfig(**config), seed=seed)

    return make


@pytest.fixture(scope="session")
def save_random(tmp_path_factory, corpus):
    """Write an encoder whose every parameter differs from its neutral start."""

    def save(config=TINY, *, seed=0, next_sentence=False, pooling=None):
        torch.manual_seed(seed)
        words = Vocabulary.load(corpus.vocabulary).size
        model = MaskedLanguageModel(Bert(config, words), next_sentence=next_sentence)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
        target = tmp_path_factory.mktemp("encoder") / "encoder"
        save_encoder(target, cpu_state(model), config, corpus.vocabulary, pooling=pooling)
        return target

    return save


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory, corpus):
    home = tmp_path_factory.mktemp("pretrained")
    pretrain(
        corpus.tokens,
        corpus.vocabulary,
        home / "encoder",
        encoder=TINY,
        config=PretrainConfig(batch=8, epochs=1, dupe_factor=1),
        seed=0,
        checkpoints=home / "checkpoints",
    )
    return home / "encoder"


@pytest.fixture(scope="session")
def documents(corpus):
    """Documents of 1 to 31 subwords, so that with [CLS] they fit the tiny encoder."""
    tokens, _ = corpus.open()
    return [tokens.document(row)[: 1 + 5 * row % 31] for row in range(12)]
