"""A small marketplace seen twice: by the daily run, and as messages of a topic."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import torch

from components.activity.config import JOBS, ActivityConfig, FilesConfig, SplitConfig
from components.activity.sessions import write_sessions
from components.activity.sources import ingest_files
from components.encoder.config import EmbedConfig, EncoderConfig
from components.encoder.embed import embed_members
from components.encoder.heads import MaskedLanguageModel
from components.encoder.model import Bert
from components.encoder.vectors import MemberVectors
from components.encoder.weights import cpu_state, save_encoder
from components.extreme.config import SliceConfig
from components.extreme.entities import predict_entities
from components.extreme.slice import Slice, train_slice
from components.labels.config import ExamplesConfig
from components.labels.examples import build_examples, read_labels
from components.labels.trails import past_labels
from components.store.push import Source, push
from components.store.store import open_store
from components.text.config import TextConfig
from components.text.documents import write_tokens
from components.text.vocabulary import Vocabulary, train_vocabulary
from components.variants.package import write_package
from serving.nearline.config import NearlineConfig
from serving.nearline.messages import Message
from serving.nearline.metrics import Metrics
from serving.nearline.predictor import Predictor
from serving.nearline.snapshot import Snapshot
from serving.nearline.updates import Updates

MINUTE = 60_000_000
START = 1_600_000_000_000_000
NOON = START + 3 * 1440 * MINUTE
"""When the daily run of yesterday was made; many a session was under way."""

TEXT = TextConfig(vocabulary_size=600)
SPLIT = SplitConfig(validation=0.0, test=0.0)
TINY = EncoderConfig(layers=1, hidden=16, heads=2, intermediate=32, max_tokens=32)
EMBED = EmbedConfig(engine="torch", chunks=3)
ACTIVITY = ActivityConfig(partitions=2)
DATASET, ENTITIES = "finetuned", 5
FIELDS = ("data engineer", "ward nurse", "truck driver", "tax lawyer", "看護師 night")

# On models this small further threads only wait for each other.
torch.set_num_threads(1)


class Daily(NamedTuple):
    """What a daily run leaves: its directory, as `--snapshot` takes it, and members' results."""

    path: Path
    vectors: dict
    entities: dict
    times: dict

    def push(self, url, data_time):
        source = Source(self.path / "vectors" / "vectors", self.path / "entities")
        push(url, DATASET, source, data_time=data_time)


class World(NamedTuple):
    """Actions in the order of the topic, and the package that serves them."""

    actions: list[dict]
    package: Path
    yesterday: Daily
    today: Daily

    @property
    def since(self):
        """What the topic holds that yesterday's run may not have seen, and a little that it has."""
        return [action for action in self.actions if action["ts"] > NOON - 60 * MINUTE]


class Setting(NamedTuple):
    """Updates with a store that holds yesterday's push, and what they count."""

    updates: Updates
    store: object
    metrics: Metrics
    state: Path

    def partition(self, number=0):
        return self.updates.open_partition(number, self.state / str(number))

    def count(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"intent_nearline_{name}_total", labels) or 0


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("world")
    actions = sorted(
        (action for number in range(24) for action in _trail(number)), key=lambda row: row["ts"]
    )
    before = [row for row in actions if row["ts"] <= NOON]
    first = _sessions(before, home / "yesterday")
    train_vocabulary(first, home / "vocabulary", TEXT, JOBS, split=SPLIT, seed=0)
    _save_encoder(home / "vocabulary", home / "encoder")
    examples = ExamplesConfig(minimum_label_count=1)
    build_examples(first, home / "examples", examples, JOBS, split=SPLIT, seed=0)
    package = _package(home, _vectors(home, home / "yesterday"))
    _sessions(actions, home / "today")
    _vectors(home, home / "today")
    days = [_predict(home, home / "yesterday", before), _predict(home, home / "today", actions)]
    return World(actions, package, *days)


@pytest.fixture(scope="session")
def predictor(world):
    return Predictor.open(world.package)


@pytest.fixture(scope="session")
def snapshot(world, predictor):
    return Snapshot.open(world.yesterday.path, predictor)


@pytest.fixture
def store_url(world, tmp_path):
    """Return the address of a store with yesterday's push."""
    world.yesterday.push(tmp_path / "store", NOON)
    return tmp_path / "store"


@pytest.fixture
def setting(world, predictor, snapshot, store_url, tmp_path):
    """Set updates up, from yesterday's snapshot or, without one, from nothing."""

    def make(*, snapshot=snapshot, store_url=store_url, **config):
        if str(store_url).startswith("redis"):
            world.yesterday.push(store_url, NOON)
        store = open_store(store_url, dataset=DATASET, role="writer")
        metrics = Metrics()
        config = NearlineConfig(topic="actions", **config)
        updates = Updates(predictor, store, snapshot, config, metrics)
        return Setting(updates, store, metrics, tmp_path / "state")

    return make


def value(action):
    return json.dumps(action, ensure_ascii=False).encode()


def messages(actions, *, first=0):
    """Messages as a live producer sends them: stamped when the action happened."""
    return [
        Message(offset, action["ts"], action["member_id"].encode(), value(action))
        for offset, action in enumerate(actions, first)
    ]


def nothing_to_bury(letters):
    raise AssertionError(f"bad messages: {letters}")


def _trail(number):
    random = np.random.default_rng(number)
    member = f"member {number:02d}"
    now = START + int(random.integers(2000)) * MINUTE
    for _ in range(1 + number % 9):
        field = FIELDS[random.integers(len(FIELDS))]
        for step in range(1 + int(random.integers(6))):
            now += int(random.integers(1, 25)) * MINUTE
            yield {"member_id": member, "ts": now, "channel": "search"} | (
                {"action": "APPLY", "company": f"firm {random.integers(6)}", "title": field}
                if step % 3
                else {"action": "JOB_SEARCH", "query": field}
            )
        now += int(random.integers(31, 1500)) * MINUTE
    # Somebody is under way while the daily run is made.
    for step in range(-2, 3 if number % 3 else -1):
        yield {"member_id": member, "ts": NOON + (10 * step + number) * MINUTE} | {
            "channel": "search",
            "action": "JOB_SEARCH",
            "query": FIELDS[number % len(FIELDS)],
        }


def _sessions(actions, day):
    day.mkdir(parents=True)
    (day / "actions.jsonl").write_bytes(b"\n".join(map(value, actions)))
    source = FilesConfig(path=str(day / "actions.jsonl"))
    ingest_files(source, JOBS, day / "feed", quarantine_limit=0.0)
    write_sessions(day / "feed" / "actions", day / "sessions" / "sessions", ACTIVITY)
    return day / "sessions" / "sessions"


def _vectors(home, day):
    sessions, tokens = day / "sessions" / "sessions", day / "tokens" / "tokens"
    write_tokens(sessions, home / "vocabulary", tokens, TEXT, split=SPLIT, seed=0)
    vectors = day / "vectors" / "vectors"
    embed_members(home / "encoder", tokens, vectors, config=EMBED, previous=None)
    return day


def _predict(home, day, actions):
    vectors = MemberVectors.open(day / "vectors" / "vectors")
    labels = read_labels(home / "examples")
    past = past_labels(day / "sessions" / "sessions", labels, vectors.member_ids, JOBS)
    slices = {name: Slice.load(home / "package" / "slices" / name) for name in ("any", "explore")}
    predict_entities(day / "vectors" / "vectors", slices, past, day / "entities", k=ENTITIES)
    rows = pq.read_table(day / "entities").to_pylist()
    ids = vectors.member_ids.to_pylist()
    return Daily(
        day,
        dict(zip(ids, vectors.vectors, strict=True)),
        {row["member_id"]: row for row in rows},
        {row["member_id"]: row["ts"] for row in sorted(actions, key=lambda row: row["ts"])},
    )


def _save_encoder(vocabulary, target):
    torch.manual_seed(0)
    model = MaskedLanguageModel(Bert(TINY, Vocabulary.load(vocabulary).size), next_sentence=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    save_encoder(target, cpu_state(model), TINY, vocabulary, pooling="mean")


def _package(home, day):
    vectors = MemberVectors.open(day / "vectors" / "vectors")
    labels = read_labels(home / "examples")
    past = past_labels(day / "sessions" / "sessions", labels, vectors.member_ids, JOBS)
    model = train_slice(vectors.vectors, sp.csr_matrix(past), SliceConfig(), seed=0)
    model.save(home / "slice")
    write_package(
        home / "package",
        {
            "encoder": home / "encoder",
            "slices/any": home / "slice",
            "slices/explore": home / "slice",
            "examples/labels.parquet": home / "examples" / "labels.parquet",
        },
        service="suggestions",
        name="finetuned",
        settings={
            "vertical": JOBS.model_dump(mode="json"),
            "activity": ACTIVITY.model_dump(mode="json"),
            "embed": EMBED.model_dump(mode="json"),
        },
        encoder=vectors.encoder,
        encoder_kind="bert",
        dimension=vectors.vectors.shape[1],
        dataset=DATASET,
    )
    return home / "package"
