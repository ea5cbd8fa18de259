"""A small catalogue, and a run over a generated marketplace."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from components.activity.config import JOBS, ActivityConfig, SplitConfig
from components.activity.sessions import write_sessions
from components.candidates.attributes import Attributes
from components.candidates.candidates import Candidates
from components.candidates.config import CandidatesConfig
from components.candidates.postings import Postings
from components.candidates.training import Inputs, train_candidates
from components.encoder.vectors import (
    MemberVectors,
    load_vectors,
    save_member_vectors,
    save_vectors,
)
from components.extreme.config import SliceConfig
from components.extreme.entities import predict_entities
from components.extreme.training_sets import load_slices, train_slices
from components.labels.config import ExamplesConfig
from components.labels.examples import Examples, build_examples
from components.marketplace.config import MarketplaceConfig
from components.marketplace.generate import generate
from components.neighbours.build import build_index
from components.neighbours.config import NeighboursConfig

TITLES = [
    ("Senior Analyst", ["tmt", "excel"]),
    ("Analyst II", ["excel"]),
    ("Data Analyst", ["sql", "excel"]),
    ("Sr Data Analyst, Finance", ["sql", "tmt"]),
    ("Project Manager", ["excel"]),
    ("Security Project Manager", []),
    ("Security Project Manager III", ["sql"]),
    ("Driver", ["forklift"]),
]
"""Titles of postings and their skills."""


def catalogue(postings=TITLES, company="Acme"):
    """A catalogue as `read_catalogue` reads it: ids j0, j1, ..."""
    return pa.table(
        {
            "item_id": [f"j{row}" for row in range(len(postings))],
            "company": [company] * len(postings),
            "title": pa.array([title for title, _ in postings], pa.string()),
            "place": ["new york"] * len(postings),
            "skills": pa.array([skills for _, skills in postings], pa.list_(pa.string())),
        }
    )


def learn(table, minimum=1):
    """The attributes of a catalogue."""
    titles, skills = table["title"].to_pylist(), table["skills"].to_pylist()
    return Attributes.learn(titles, skills, {"new york"}, minimum=minimum)


@pytest.fixture(scope="session")
def attributes():
    return learn(catalogue())


@pytest.fixture(scope="session")
def postings(attributes):
    return Postings.build(catalogue(), attributes)


CONFIG = CandidatesConfig(
    channels=("recommendation", "search"), minimum_positives=5, resamples=50, random_pairs=10
)


class Run(NamedTuple):
    """A small run, in place of whose encoders labels are projected at random."""

    inputs: Inputs
    model: Path
    measured: dict

    def open(self, variant="finetuned"):
        return Candidates.open(self.model / variant)

    def without(self, **changes):
        """Its inputs, some of them changed."""
        return replace(self.inputs, **changes)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run over a generated marketplace of 300 members."""
    home = tmp_path_factory.mktemp("run")
    market = MarketplaceConfig(members=300, occupations=8, companies=32, postings=200, workers=1)
    generate(market, home / "feed", home / "truth", seed=1)
    write_sessions(home / "feed" / "actions", home / "sessions", ActivityConfig(partitions=1))
    split = SplitConfig(validation=0.4, test=0.3)
    build_examples(
        home / "sessions", home / "examples", ExamplesConfig(), JOBS, split=split, seed=1
    )
    examples = Examples.open(home / "examples")
    directions = np.random.default_rng(1).normal(size=(len(examples.label_texts), 16))

    def vectors(labels):
        return ((labels > 0) @ directions).astype(np.float32)

    past = examples.context + examples.target
    save_vectors(home / "vectors", vectors(examples.context), encoder="v1")
    train_slices(
        load_vectors(home / "vectors"), examples, home / "slices", SliceConfig(rounds=2), seed=1
    )
    ids = pa.array(examples.table["member_id"])
    save_member_vectors(home / "everybody", MemberVectors(ids, vectors(past), {}, "v1"))
    model = load_slices(home / "slices")["D2"]
    predict_entities(
        home / "everybody", {"any": model, "explore": model}, past, home / "entities", k=10
    )
    build_index(home / "everybody", home / "index", NeighboursConfig(), seed=1)
    given = ("vectors", "slices") * 2 + ("everybody",) * 2 + ("entities",) * 2 + ("index",)
    inputs = Inputs(*(home / name for name in ("feed", "sessions", "examples", *given)))
    measured = train_candidates(inputs, home / "candidates", CONFIG, seed=1)
    return Run(inputs, home / "candidates", measured)
