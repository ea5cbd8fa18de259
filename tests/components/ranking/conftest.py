"""Small ranking lists in which the best posting is the one that the member's vector points at."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.encoder.vectors import save_vectors
from components.ranking.config import RankerConfig
from components.ranking.training import train_ranker

KINDS = 4  # of postings; a member looks for one of them, and only the vector says which
WORDS = ["", "<unknown>", "software", "engineer", "nurse", "cook", "driver", "acme", "corp", "jobs"]
QUERIES = [[9, 0], [2, 9], [0, 0]]
TITLES = [[2, 3, 0], [4, 0, 0], [5, 0, 0], [6, 1, 0], [0, 0, 0]]
COMPANIES = [[7, 8], [8, 0]]
CODES = {"industry": 5, "hour": 24}
CONTINUOUS = ["clicks", "noise", "constant"]
ENCODER = "encoder-1"

TINY = {
    "word_dimension": 8,
    "heads": 2,
    "feed_forward": 8,
    "deep_units": (8, 8),
    "wide_units": 8,
    "tower_units": (16, 16),
    "fusion_units": (16,),
    "batch_norm_momentum": 0.9,
    "averaging": 0.5,
    "batch": 16,
    "steps": 60,
    "evaluate_every": 20,
    "checkpoint_every": 1000,
}


class Made(NamedTuple):
    """Directories of lists and of the vectors of their examples."""

    lists: Path
    vectors: Path


def tiny(**changes) -> RankerConfig:
    """Return a configuration that trains in seconds."""
    return RankerConfig(**TINY | changes)


def write_lists(target: Path, lengths, *, seed=0, cold=0.1, gainless=0.1) -> Path:
    """Write lists of given lengths: 70% training, 15% validation, 15% test."""
    random = np.random.default_rng(seed)
    count, documents = len(lengths), int(np.sum(lengths))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    owner = np.repeat(np.arange(count), lengths)
    wanted = random.integers(0, KINDS, count)
    title = random.integers(0, len(TITLES), documents)
    clicks = random.integers(0, 5, documents)
    merit = 3.0 * (title == wanted[owner]) + 0.5 * clicks + random.gumbel(size=documents)
    gains = np.where(merit > 3.5, 3, np.where(merit > 2.5, 1, 0)).astype(np.float32)
    gains[np.isin(owner, np.flatnonzero(random.random(count) < gainless))] = 0
    continuous = np.stack(
        [clicks, random.standard_normal(documents) * 1000, np.full(documents, 7)], 1
    )
    categorical = np.stack([random.integers(0, size, documents) for size in CODES.values()], 1)
    example = np.where(random.random(count) < cold, -1, np.arange(count))
    split = np.searchsorted([0.7, 0.85], np.arange(count) / count, side="right")
    target.mkdir(parents=True)
    arrays = {
        "offsets": offsets,
        "gains": gains,
        "continuous": continuous.astype(np.float32),
        "categorical": categorical.astype(np.int32),
        "query": random.integers(0, len(QUERIES), count).astype(np.int32),
        "title": title.astype(np.int32),
        "company": random.integers(0, len(COMPANIES), documents).astype(np.int32),
        "queries": np.array(QUERIES, np.int32),
        "titles": np.array(TITLES, np.int32),
        "companies": np.array(COMPANIES, np.int32),
        "example": example.astype(np.int32),
        "split": split.astype(np.int8),
        "frequency": random.integers(0, 9, count).astype(np.int64),
    }
    for name, array in arrays.items():
        np.save(target / f"{name}.npy", array)
    (target / "words.txt").write_text("\n".join(WORDS) + "\n")
    pages = {
        "member_id": [f"m{number}" for number in range(count)],
        "ts": list(range(count)),
        "query": ["software jobs"] * count,
        "item_ids": [[f"p{row}" for row in range(*pair)] for pair in _pairs(offsets)],
    }
    pq.write_table(pa.table(pages), target / "lists.parquet")
    about = {
        "continuous": CONTINUOUS,
        "categorical": [[name, size] for name, size in CODES.items()],
        "widths": {"query": 2, "title": 3, "company": 2},
        "lists": count,
        "documents": documents,
        "dropped": {},
    }
    (target / "about.json").write_text(json.dumps(about))
    np.save(target.parent / "wanted.npy", wanted)
    return target


def write_vectors(target: Path, wanted, *, encoder=ENCODER, seed=0) -> Path:
    """Write a vector per example that points at the kind that its member wants."""
    random = np.random.default_rng(seed)
    vectors = 2.0 * np.eye(KINDS, 6)[wanted] + 0.3 * random.standard_normal((len(wanted), 6)) + 5
    save_vectors(target, vectors.astype(np.float32), encoder=encoder)
    return target


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    directory = tmp_path_factory.mktemp("ranking")
    lengths = np.random.default_rng(1).integers(1, 9, 400)
    lists = write_lists(directory / "lists", lengths)
    return Made(lists, write_vectors(directory / "vectors", np.load(directory / "wanted.npy")))


def _pairs(offsets):
    return zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)


@pytest.fixture(scope="session")
def trained(made, tmp_path_factory):
    """A ranker with the tower, and what its training returned."""
    target = tmp_path_factory.mktemp("trained") / "ranker"
    options = {"tower": True, "words": None, "seed": 0, "checkpoints": None}
    return target, train_ranker(made.lists, made.vectors, target, tiny(), **options)
