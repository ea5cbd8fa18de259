"""A marketplace of five labels: two members to learn from, three to be tested on."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import torch

from components.activity.config import JOBS, SplitConfig
from components.encoder.config import EmbedConfig, EncoderConfig
from components.encoder.embed import embed_examples
from components.encoder.heads import MaskedLanguageModel
from components.encoder.model import Bert
from components.encoder.vectors import load_vectors
from components.encoder.weights import cpu_state, save_encoder
from components.extreme.config import SliceConfig
from components.extreme.training_sets import train_slices
from components.labels.config import ExamplesConfig
from components.labels.examples import SPLITS, Examples, build_examples
from components.text.config import TextConfig
from components.text.documents import write_tokens
from components.text.vocabulary import Vocabulary, train_vocabulary
from tests.components.encoder.conftest import trail

LABELS = ["data engineer", "spark", "nurse", "icu nurse", "c_acme_inc nurse"]
# member, side, searched, context (the larger, the more recent), target
TRAILS = [
    ("ann", "train", True, [1, 2, 0, 0, 0], [1, 0, 0, 0, 0]),
    ("bob", "train", True, [0, 0, 1, 0, 0], [0, 0, 1, 1, 0]),
    ("cho", "test", True, [1, 0, 0, 0, 0], [1, 1, 0, 0, 0]),
    ("dan", "test", False, [0, 0, 2, 0, 1], [0, 0, 0, 1, 0]),
    ("eve", "test", True, [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]),
]


@pytest.fixture
def examples():
    members, sides, searched, context, target = zip(*TRAILS, strict=True)
    table = pa.table(
        {
            "member_id": members,
            "split": pa.array([SPLITS[side] for side in sides], pa.int8()),
            "first_session": pa.array([0] * 5, pa.int32()),
            "context_end": pa.array([1] * 5, pa.int32()),
            "target_end": pa.array([2] * 5, pa.int32()),
            "searched": searched,
        }
    )
    past = sp.csr_matrix(np.array(context, np.int32))
    target = sp.csr_matrix(np.array(target, np.int8))
    labels = pa.table(
        {
            "label": pa.array(range(5), pa.int32()),
            "kind": ["query"] * 4 + ["entity"],
            "text": LABELS,
            "count": [1, 1, 1, 1, 4],
        }
    )
    return Examples(table, labels, [past, past, target])


class Run(NamedTuple):
    """What a run of long trails and an untrained encoder leaves behind."""

    sessions: Path
    tokens: Path
    examples: Path
    encoder: Path
    vectors: Path
    slices: Path


@pytest.fixture(scope="session")
def run(tmp_path_factory, write_parts_in):
    """Write the trails of sixty members, most longer than a chunk of 32 subwords."""
    home = tmp_path_factory.mktemp("run")
    made = Run(*(home / name for name in Run._fields))
    rows = []
    for number in range(60):
        random = np.random.default_rng(number)
        rows += trail(f"member {number:02d}", 1 + number % 7, random=random)
    sessions = write_parts_in(home / "sessions", rows)
    _an_hour_apart(sessions / "part-00000.parquet")
    split = SplitConfig(validation=0.2, test=0.3)
    text, settings = TextConfig(vocabulary_size=600), ExamplesConfig(minimum_label_count=1)
    train_vocabulary(sessions, home / "vocabulary", text, JOBS, split=split, seed=0)
    write_tokens(sessions, home / "vocabulary", made.tokens, text, split=split, seed=0)
    build_examples(sessions, made.examples, settings, JOBS, split=split, seed=0)
    torch.manual_seed(0)
    sizes = EncoderConfig(layers=2, hidden=16, heads=2, max_tokens=32)
    words = Vocabulary.load(home / "vocabulary").size
    state = cpu_state(MaskedLanguageModel(Bert(sizes, words)))
    save_encoder(made.encoder, state, sizes, home / "vocabulary", pooling="mean_last4")
    embed_examples(made.encoder, made.tokens, made.examples, made.vectors, config=EmbedConfig())
    data = Examples.open(made.examples)
    train_slices(load_vectors(made.vectors), data, made.slices, SliceConfig(), seed=0)
    return made


def _an_hour_apart(part):
    table = pq.read_table(part)
    times = pc.multiply(table["ts"], pa.scalar(3600, pa.int64()))
    place = table.schema.get_field_index("ts")
    pq.write_table(table.set_column(place, table.schema.field("ts"), times), part)
