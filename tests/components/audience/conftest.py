"""Members in two crowds, and an index of them."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from components.audience.matches import ExactMatches, Matches, Predictions, Texts
from components.neighbours.build import build_from
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
