import numpy as np
import pytest

from components.neighbours.build import build_from
from components.neighbours.config import NeighboursConfig
from components.neighbours.index import Neighbours


@pytest.fixture
def build(tmp_path):
    """Index vectors of members m0, m1, ... and open the index."""

    def build(vectors, name="index", ids=None, seed=1, **settings):
        ids = [f"m{row}" for row in range(len(vectors))] if ids is None else ids
        config = NeighboursConfig(**settings)
        build_from(ids, np.asarray(vectors, np.float32), "v1", tmp_path / name, config, seed=seed)
        return Neighbours.open(tmp_path / name)

    return build


@pytest.fixture(scope="session")
def crowd():
    """1,500 vectors of 20 groups, of different lengths; some are copies of one another."""
    random = np.random.default_rng(7)
    vectors = random.normal(size=(20, 24))[random.integers(0, 20, 1500)]
    vectors += 0.5 * random.normal(size=vectors.shape)
    vectors *= random.uniform(0.1, 9, (1500, 1))
    vectors[700:740] = vectors[0]
    return vectors.astype(np.float32)
