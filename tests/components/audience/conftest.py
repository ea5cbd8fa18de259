"""Members in two crowds, and an index of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from components.activity.config import JOBS, ActivityConfig, SplitConfig
from components.activity.sessions import write_sessions
from components.audience.audience import Audience
from components.audience.config import AudienceConfig
from components.audience.matches import ExactMatches, Matches, Predictions, Texts
from components.audience.training import Inputs, train_audience
from components.encoder.vectors import (
    MemberVectors,
    load_vectors,
    save_member_vectors,
    save_vectors,
)
from components.extreme.config import SliceConfig
from components.extreme.entities import predict_entities
from components.extreme.training_sets import load_slices, train_slices
from components.features.config import FeaturesConfig
from components.features.tables import build_tables
from components.labels.config import ExamplesConfig
from components.labels.examples import Examples, build_examples
from components.marketplace.config import MarketplaceConfig
from components.marketplace.generate import generate
from components.neighbours.build import build_from, build_index
from components.neighbours.config import NeighboursConfig
from components.neighbours.index import Neighbours

NURSES, DRIVERS = range(6), range(6, 12)
LABELS = pa.table(
    {
        "kind": ["query", "query", "entity", "entity"],
        "text": ["ward nurse", "nurse", "c_acme ward nurse", "c_bolt truck driver"],
    }
)


class Crowd(NamedTuple):
    """Unit vectors and the index of them."""

    vectors: np.ndarray
    index: Neighbours


def match(*rows):
    """Exact matches by one application each, the most relevant first."""
    count = len(rows)
    return Matches(
        np.array(rows, np.int64),
        np.ones(count, np.int32),
        np.zeros(count, np.float32),
        np.zeros(count, np.float32),
        np.zeros(count, bool),
    )


def titles(*pairs):
    """Titles of members: (row, text) or (row, text, times)."""
    return Texts(
        np.array([pair[0] for pair in pairs], np.int64),
        pa.array([pair[1] for pair in pairs], pa.string()),
        np.array([pair[2] if len(pair) > 2 else 1 for pair in pairs], np.int64),
    )


def predictions(*triples):
    """Predicted labels of members: (row, label, score)."""
    rows, labels, scores = zip(*triples, strict=True) if triples else ((), (), ())
    return Predictions(
        np.array(rows, np.int64), np.array(labels, np.int32), np.array(scores, np.float32)
    )


def exact_matches(members, *, applied=(), headlines=(), predicted=()):
    return ExactMatches(
        members,
        applied=titles(*applied),
        headlines=titles(*headlines),
        predictions=predictions(*predicted),
        labels=LABELS,
    )


@pytest.fixture(scope="session")
def crowd(tmp_path_factory):
    """Six members around one axis, six around another, in sixteen dimensions."""
    random = np.random.default_rng(3)
    axes = np.eye(16, dtype=np.float32)[np.repeat([0, 1], 6)]
    vectors = axes + random.normal(0, 0.12, axes.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    place = tmp_path_factory.mktemp("crowd") / "index"
    ids = [f"m{row:02d}" for row in range(len(vectors))]
    build_from(ids, vectors, "v1", place, NeighboursConfig(), seed=1)
    return Crowd(vectors, Neighbours.open(place))


class Run(NamedTuple):
    """Directories of a small run, in place of whose encoder labels are projected at random."""

    inputs: Inputs
    model: Path
    index: Path
    entities: Path
    now: Path
    measured: dict

    def open(self, **changes):
        """Open its audience, with some of the directories changed."""
        given = {
            "index": self.index,
            "entities": self.entities,
            "examples": self.inputs.examples,
            "features": self.now,
        }
        model = changes.pop("model", self.model)
        return Audience.open(model, **given | changes)


CONFIG = AudienceConfig(neighbours=60, at_least=0.5, resamples=50, minimum_positives=10, trees=30)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run over a generated marketplace of 400 members."""
    home = tmp_path_factory.mktemp("run")
    market = MarketplaceConfig(members=400, occupations=8, companies=32, postings=200, workers=1)
    generate(market, home / "feed", home / "truth", seed=1)
    write_sessions(home / "feed" / "actions", home / "sessions", ActivityConfig(partitions=1))
    build_examples(
        home / "sessions",
        home / "examples",
        ExamplesConfig(),
        JOBS,
        split=SplitConfig(validation=0.3, test=0.3),
        seed=1,
    )
    examples = Examples.open(home / "examples")
    directions = np.random.default_rng(1).normal(size=(len(examples.label_texts), 32))

    def vectors(labels):
        return ((labels > 0) @ directions).astype(np.float32)

    save_vectors(home / "vectors", vectors(examples.context), encoder="v1")
    train_slices(
        load_vectors(home / "vectors"), examples, home / "slices", SliceConfig(rounds=2), seed=1
    )
    everybody = MemberVectors(
        pa.array(examples.table["member_id"]),
        vectors(examples.context + examples.target),
        {},
        "v1",
    )
    save_member_vectors(home / "everybody", everybody)
    model = load_slices(home / "slices")["D2"]
    slices = {"any": model, "explore": model}
    past = examples.context + examples.target
    predict_entities(home / "everybody", slices, past, home / "entities", k=10)
    build_index(home / "everybody", home / "index", NeighboursConfig(), seed=1)
    for name, cuts in (("asof", home / "examples"), ("now", None)):
        build_tables(home / "feed", home / "sessions", home / name, FeaturesConfig(), examples=cuts)
    inputs = Inputs(
        *(home / name for name in ("feed", "sessions", "examples", "vectors", "slices", "asof"))
    )
    measured = train_audience(inputs, home / "audience", CONFIG, seed=1)
    return Run(inputs, home / "audience", home / "index", home / "entities", home / "now", measured)
