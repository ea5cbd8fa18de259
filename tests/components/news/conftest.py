"""A small news site: members click what is of their topic; an encoder that nobody trained."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from components.activity.config import NEWS, SplitConfig
from components.encoder.config import EncoderConfig
from components.encoder.heads import MaskedLanguageModel
from components.encoder.model import Bert
from components.encoder.weights import cpu_state, save_encoder
from components.news.config import NewsConfig
from components.text.config import TextConfig
from components.text.vocabulary import Vocabulary, train_vocabulary

# On models this small further threads only wait for each other.
torch.set_num_threads(1)

TOPICS = {
    "sports": ["goal", "match", "coach", "league"],
    "finance": ["shares", "bank", "market", "bonds"],
    "travel": ["beach", "hotel", "flight", "island"],
}
ITEMS = 90
PAGE = pa.schema(
    {
        "member_id": pa.string(),
        "ts": pa.int64(),
        "channel": pa.string(),
        "query": pa.string(),
        "item_ids": pa.list_(pa.string()),
        "outcomes": pa.list_(pa.string()),
        "fold": pa.string(),
        "impression_id": pa.int64(),
        "history": pa.list_(pa.string()),
    }
)
FOLD_TS = {"train": 1_000, "dev": 2_000, "test": 3_000}

TINY = {
    "units": (32, 16),
    "batch": 16,
    "steps": 60,
    "evaluate_every": 30,
    "validation": 40,
    "checkpoint_every": 1000,
    "resamples": 50,
}


def tiny(**changes) -> NewsConfig:
    """Return a configuration that trains in seconds."""
    return NewsConfig(**TINY | changes)


def sentences(random):
    topics = list(TOPICS)
    rows = []
    for number in range(ITEMS):
        topic = topics[number % len(topics)]
        words = random.choice(TOPICS[topic], 4)
        rows.append({"item_id": f"N{number}", "title": f"{topic} {topic}news {' '.join(words)}"})
    return rows


def pages(random, fold, count, first_id=1):
    """Impressions of members who click their topic with 80% and others with 10%."""
    rows = []
    for number in range(count):
        member = int(random.integers(60))
        topic = member % len(TOPICS)
        own = [f"N{i}" for i in range(ITEMS) if i % len(TOPICS) == topic]
        shown = random.permutation(ITEMS)[: random.integers(5, 15)]
        clicked = random.random(len(shown)) < np.where(shown % len(TOPICS) == topic, 0.8, 0.1)
        outcomes = np.where(clicked & (fold != "test"), "VIEW", "")
        rows.append(
            {
                "member_id": f"U{member}",
                "ts": FOLD_TS[fold] * 1_000_000 + number,
                "channel": "recommendation",
                "query": None,
                "item_ids": [f"N{i}" for i in shown],
                "outcomes": outcomes.tolist(),
                "fold": fold,
                "impression_id": first_id + number,
                "history": random.permutation(own)[: member % 7].tolist(),
            }
        )
    return rows


def write_feed(target, impressions, items, unlabelled=()):
    """Write what ingest leaves of news, as far as ranking reads it."""
    written = {"impressions": impressions, "postings": items, "unlabelled": unlabelled}
    for folder, rows in written.items():
        if rows:
            (target / folder).mkdir(parents=True)
            # In an order that is not that of their numbers, as a feed sorted by member has them.
            schema = None if folder == "postings" else PAGE
            table = pa.Table.from_pylist(list(rows)[::-1], schema=schema)
            pq.write_table(table, target / folder / "part-00000.parquet")
    return target


@pytest.fixture(scope="session")
def site():
    random = np.random.default_rng(0)
    folds = {"train": 400, "dev": 80, "test": 30}
    return sentences(random), {fold: pages(random, fold, n) for fold, n in folds.items()}


@pytest.fixture(scope="session")
def feed(site, tmp_path_factory):
    items, folds = site
    target = tmp_path_factory.mktemp("feed")
    return write_feed(target, folds["train"] + folds["dev"], items, folds["test"])


@pytest.fixture(scope="session")
def encoder(site, tmp_path_factory, write_parts_in):
    home = tmp_path_factory.mktemp("encoder")
    rows = [(f"U{n:02d}", 1, "VIEW", None, item["title"]) for n, item in enumerate(site[0])]
    sessions = write_parts_in(home / "sessions", rows)
    vocabulary = home / "vocabulary"
    text = TextConfig(vocabulary_size=512)
    split = SplitConfig(validation=0.0, test=0.0)
    train_vocabulary(sessions, vocabulary, text, NEWS, split=split, seed=0)
    torch.manual_seed(0)
    config = EncoderConfig(layers=2, hidden=16, heads=2, intermediate=32, max_tokens=64)
    model = MaskedLanguageModel(Bert(config, Vocabulary.load(vocabulary).size))
    save_encoder(home / "encoder", cpu_state(model), config, vocabulary, pooling="mean_last4")
    return home / "encoder"
