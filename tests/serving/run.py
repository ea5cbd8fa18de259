"""A small run with every kind of package, its store, and servers of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pyarrow as pa
import torch

from components.activity.config import JOBS, ActivityConfig, SplitConfig
from components.activity.sessions import write_sessions
from components.audience.config import AudienceConfig
from components.audience.training import Inputs, train_audience
from components.baselines.fasttext import WordVectors, member_vectors
from components.candidates.config import CandidatesConfig
from components.candidates.training import Inputs as CandidatesInputs
from components.candidates.training import train_candidates
from components.encoder.config import EmbedConfig, EncoderConfig
from components.encoder.embed import embed_examples, embed_members
from components.encoder.heads import MaskedLanguageModel
from components.encoder.model import Bert
from components.encoder.vectors import (
    MemberVectors,
    load_vectors,
    save_member_vectors,
    save_vectors,
)
from components.encoder.weights import cpu_state, save_encoder
from components.extreme.config import SliceConfig
from components.extreme.entities import predict_entities
from components.extreme.training_sets import load_slices, train_slices
from components.features.config import FeaturesConfig
from components.features.tables import build_tables
from components.labels.config import ExamplesConfig
from components.labels.examples import Examples, build_examples, read_labels
from components.labels.trails import past_labels
from components.marketplace.config import MarketplaceConfig
from components.marketplace.generate import generate
from components.neighbours.build import build_index
from components.neighbours.config import NeighboursConfig
from components.ranking.config import ListsConfig
from components.ranking.lists import build_lists
from components.ranking.training import train_ranker
from components.store.push import Source, push
from components.text.config import TextConfig
from components.text.documents import write_tokens
from components.text.vocabulary import Vocabulary, train_vocabulary
from components.variants.names import FASTTEXT, FINETUNED
from components.variants.package import write_package
from components.variants.packaging import Origin
from components.variants.packaging import package_candidates as offer_candidates
from tests.components.ranking.conftest import tiny

SPLIT = SplitConfig(validation=0.3, test=0.3)
TINY = EncoderConfig(layers=2, hidden=16, heads=2, max_tokens=64)
SETTINGS = {
    "vertical": JOBS.model_dump(mode="json"),
    "activity": ActivityConfig().model_dump(mode="json"),
    "embed": EmbedConfig().model_dump(mode="json"),
}
NOW = 1_700_000_000_000_000


class Made(NamedTuple):
    """Directories of the run, of its packages, and the URL of its store."""

    home: Path
    packages: Path
    store: str

    def members(self) -> MemberVectors:
        return MemberVectors.open(self.home / "members")

    def package(self, name: str) -> Path:
        return self.packages / name


def make_run(home: Path) -> Made:
    """Make everything; the encoder's weights are random, for nobody looks at how good it is."""
    market = MarketplaceConfig(members=300, occupations=8, companies=32, postings=200, workers=1)
    generate(market, home / "feed", home / "truth", seed=1)
    write_sessions(home / "feed" / "actions", home / "sessions", ActivityConfig(partitions=1))
    build_examples(
        home / "sessions", home / "examples", ExamplesConfig(), JOBS, split=SPLIT, seed=1
    )
    text = TextConfig(vocabulary_size=600)
    train_vocabulary(home / "sessions", home / "vocabulary", text, JOBS, split=SPLIT, seed=1)
    write_tokens(home / "sessions", home / "vocabulary", home / "tokens", text, split=SPLIT, seed=1)
    save_random_encoder(home / "encoder", home / "vocabulary", seed=0)
    embed_examples(
        home / "encoder", home / "tokens", home / "examples", home / "vectors", config=EmbedConfig()
    )
    embed_members(
        home / "encoder", home / "tokens", home / "members", config=EmbedConfig(), previous=None
    )
    examples = Examples.open(home / "examples")
    train_slices(
        load_vectors(home / "vectors"), examples, home / "slices", SliceConfig(rounds=2), seed=1
    )
    _predict(home, "members", "slices", "entities")
    _make_words(home, examples)
    build_index(home / "members", home / "index", NeighboursConfig(), seed=1)
    given = home / "feed", home / "sessions"
    build_tables(*given, home / "asof", FeaturesConfig(), examples=home / "examples")
    build_tables(*given, home / "now", FeaturesConfig(), examples=None, like=home / "asof")
    names = ("feed", "sessions", "examples", "vectors", "slices", "asof")
    config = AudienceConfig(postings=30, resamples=20, minimum_positives=10, trees=10)
    train_audience(Inputs(*(home / name for name in names)), home / "audience", config, seed=1)
    _select_candidates(home)
    parts = home / "feed", home / "asof", home / "sessions", home / "examples"
    build_lists(*parts, home / "lists", ListsConfig(), seed=1)
    train_ranker(
        home / "lists",
        home / "vectors",
        home / "ranker",
        tiny(steps=2, batch=8, evaluate_every=2),
        tower=True,
        words=None,
        seed=1,
        checkpoints=None,
    )
    _package(home, home / "packages")
    store = f"lmdb:{home / 'store'}"
    labels = read_labels(home / "examples")
    for dataset, vectors in (("finetuned", "members"), ("fasttext", "word-members")):
        entities = home / ("entities" if vectors == "members" else "word-entities")
        push(store, dataset, Source(home / vectors, entities), data_time=NOW, labels=labels)
    return Made(home, home / "packages", store)


def save_random_encoder(target: Path, vocabulary: Path, *, seed: int) -> None:
    """Write an encoder whose every parameter differs from its neutral start."""
    torch.manual_seed(seed)
    model = MaskedLanguageModel(Bert(TINY, Vocabulary.load(vocabulary).size), next_sentence=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    save_encoder(target, cpu_state(model), TINY, vocabulary, pooling="mean_last4")


def package_encoder(made: Made, target: Path, *, seed: int) -> Path:
    """Write another version of the encoder's package."""
    weights = target.with_name(f"{target.name}-weights")
    save_random_encoder(weights, made.home / "vocabulary", seed=seed)
    _encoder(weights, target, "finetuned")
    return target


def _predict(home: Path, members: str, slices: str, target: str) -> None:
    models = load_slices(home / slices)
    ids = MemberVectors.open(home / members).member_ids
    past = past_labels(home / "sessions", read_labels(home / "examples"), ids, JOBS)
    surfaces = {"any": models["D2"], "explore": models["D1-new"]}
    predict_entities(home / members, surfaces, past, home / target, k=10)


def _make_words(home: Path, examples: Examples) -> None:
    said = sorted({word for text in examples.label_texts for word in text.split()})
    words = [*JOBS.actions, *said]
    (home / "words").mkdir()
    vectors = np.random.default_rng(0).normal(size=(len(words), 12)).astype(np.float32)
    np.save(home / "words" / "vectors.npy", vectors)
    (home / "words" / "words.json").write_text(json.dumps(words))
    content = member_vectors(WordVectors.load(home / "words"), home / "sessions")
    save_member_vectors(home / "word-members", content)
    rows = pa.array(examples.table["member_id"])
    own = {name: row for row, name in enumerate(content.member_ids.to_pylist())}
    vectors = content.vectors[[own[name] for name in rows.to_pylist()]]
    save_vectors(home / "word-vectors", vectors, encoder=content.encoder)
    train_slices(vectors, examples, home / "word-slices", SliceConfig(rounds=2), seed=1)
    _predict(home, "word-members", "word-slices", "word-entities")


def _select_candidates(home: Path) -> None:
    names = ("feed", "sessions", "examples", "word-vectors", "word-slices", "vectors", "slices")
    now = ("members", "word-members", "entities", "word-entities", "index")
    inputs = CandidatesInputs(*(home / name for name in (*names, *now)))
    config = CandidatesConfig(minimum_positives=2, resamples=20)
    assert train_candidates(inputs, home / "candidates", config, seed=1)


def _package(home: Path, target: Path) -> None:
    labels = {"examples/labels.parquet": home / "examples" / "labels.parquet"}
    for name, members, encoder, slices, kind in (
        ("finetuned", "members", "encoder", "slices", "bert"),
        ("fasttext", "word-members", "words", "word-slices", "fasttext"),
    ):
        chosen = json.loads((home / slices / "chosen.json").read_text())
        write_package(
            target / f"suggestions-{name}",
            {
                "encoder": home / encoder,
                "slices/any": home / slices / chosen["D2"],
                "slices/explore": home / slices / chosen["D1-new"],
                **labels,
            },
            service="suggestions",
            name=name,
            encoder_kind=kind,
            dataset=name,
            settings=SETTINGS,
            **_vectors(home / members),
        )
    offered = offer_candidates(
        home / "offered",
        home / "candidates",
        {FINETUNED: home / "encoder", FASTTEXT: home / "words"},
        {FINETUNED: home / "members", FASTTEXT: home / "word-members"},
        {FINETUNED: home / "slices", FASTTEXT: home / "word-slices"},
        home / "examples",
        Origin(SETTINGS, {}),
    )
    for package in offered:
        package.path.rename(target / package.about.model)
    own = _vectors(home / "members")
    _encoder(home / "encoder", target / "encoder-finetuned", "finetuned", **own)
    write_package(
        target / "ranker-full-vector",
        {"ranker": home / "ranker", "features": home / "now"},
        service="ranker",
        name="full-vector",
        dataset="finetuned",
        settings=SETTINGS,
        **own,
    )
    for name, parameters in (("exact", {"neighbours": 0}), ("expanded", {})):
        write_package(
            target / f"audience-{name}",
            {
                "audience": home / "audience",
                "index": home / "index",
                "entities": home / "entities",
                "features": home / "now",
                "encoder": home / "encoder",
                **labels,
            },
            service="audience",
            name=name,
            encoder_kind="bert",
            dataset="finetuned",
            parameters=parameters,
            settings=SETTINGS,
            **own,
        )


def _encoder(weights: Path, target: Path, name: str, **about) -> None:
    if not about:
        from components.encoder.embed import Embedder

        opened = Embedder.load(weights)
        about = {"encoder": opened.version, "dimension": opened.dimension}
    write_package(
        target,
        {"encoder": weights},
        service="encoder",
        name=name,
        encoder_kind="bert",
        settings=SETTINGS,
        **about,
    )


def _vectors(directory: Path) -> dict:
    about = json.loads((directory / "vectors.json").read_text())
    return {"encoder": about["encoder"], "dimension": about["dimension"]}


class Server(NamedTuple):
    """A server process and a client of it."""

    process: subprocess.Popen
    http: httpx.Client
    grpc: str
    log: Path

    @property
    def url(self) -> str:
        return str(self.http.base_url).rstrip("/")

    def ask(self, service: str, *instances: dict, headers=None, **body) -> httpx.Response:
        """Ask in the v1 protocol."""
        content = {"instances": list(instances), **body}
        return self.http.post(f"/v1/models/{service}:predict", json=content, headers=headers)

    def answer(self, service: str, *instances: dict, headers=None, **body) -> list[dict]:
        """Ask in the v1 protocol and return the predictions."""
        response = self.ask(service, *instances, headers=headers, **body)
        assert response.status_code == 200, response.text
        return response.json()["predictions"]

    def wait_ready(self, seconds: float = 180) -> None:
        """Wait until every model answers."""
        end = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            try:
                if self.http.get("/v2/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)


@contextmanager
def serving(folder: Path, packages: Sequence[Path], *options: str, wait=True, environment=None):
    """Run a server of some packages; it is stopped at the end."""
    ports = free_port(), free_port()
    listen = ["--http-port", str(ports[0]), "--grpc-port", str(ports[1])]
    given = [word for package in packages for word in ("--model-dir", str(package))]
    log = folder / f"server-{ports[0]}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.server", *given, *listen, *options],
            stderr=out,
            env=os.environ | (environment or {}),
        )
    url = f"http://127.0.0.1:{ports[0]}"
    server = Server(process, httpx.Client(base_url=url, timeout=20), f"127.0.0.1:{ports[1]}", log)
    try:
        if wait:
            server.wait_ready()
        yield server
    finally:
        server.http.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
