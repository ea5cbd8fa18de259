"""The model servers under load from wrk, ours beside a stock KServe model of the same weights.

The encoder has the paper's size, 12 x 128, with random weights; a request is a text of about forty
subwords. The stock server is what the KServe documentation shows: a `kserve.Model` whose `predict`
calls a Hugging Face tokenizer and BertModel. Suggestions are asked for members of an embedded
store, and for visitors of five actions, with Slice over 5,000 labels.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import ROOT, Benchmark, Row, measure

SECONDS, WARM_UP = 10, 3
CONNECTIONS = 16
FEW = 4  # connections where a latency is measured: two cores are busy, and no queue is
BODIES = 1_000
LABELS, MEMBERS = 5_000, 20_000

STOCK = "KServe SDK model calling Hugging Face"

LUA = """
local bodies = {}
for line in io.lines("%s") do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
local at = 0
request = function()
  at = at %% #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def encoder(work: Path) -> list[Row]:
    measure("benchmarks.bench_servers:prepare", target=str(work))
    ours_at, stock_at = _port(), _port()
    bodies = work / "texts.jsonl"
    first = json.loads(bodies.read_text().splitlines()[0])
    with _server(_ours([work / "encoder-bench"], ours_at), ours_at) as url:
        vector = np.array(_ask(f"{url}/v1/models/encoder:predict", first)[0]["vector"])
        ours = _load(f"{url}/v1/models/encoder:predict", bodies, CONNECTIONS)
    stock = [sys.executable, "-m", "benchmarks.peers.stock_kserve", str(work / "weights")]
    with _server([*stock, str(stock_at)], stock_at) as url:
        theirs = np.array(_ask(f"{url}/v1/models/stock:predict", first)[0])
        peer = _load(f"{url}/v1/models/stock:predict", bodies, CONNECTIONS)
    cosine = vector @ theirs / np.linalg.norm(vector) / np.linalg.norm(theirs)
    return [
        Row("requests", "1/s", ours["rate"], peer["rate"], STOCK, "ratio >= 3"),
        Row("p50", "ms", ours["p50"], peer["p50"], STOCK, "ratio <= 1"),
        Row("p99", "ms", ours["p99"], peer["p99"], STOCK, "ratio <= 1"),
        Row("failed requests", "", ours["failed"], target="ours <= 0"),
        Row("cosine of the two answers", "", float(cosine), target="ours >= 0.9999"),
    ]


def suggestions(work: Path) -> list[Row]:
    measure("benchmarks.bench_servers:prepare", target=str(work))
    port = _port()
    package, store = work / "suggestions-bench", f"lmdb:{work / 'store'}"
    rows = []
    with _server(_ours([package], port, "--store", store), port) as url:
        for name, most in (("stored", 5), ("cold", 50)):
            found = _load(f"{url}/v1/models/suggestions:predict", work / f"{name}.jsonl", FEW)
            who = "stored member" if name == "stored" else "cold visitor"
            rows += [
                Row(f"{who}, p99", "ms", found["p99"], target=f"ours <= {most}"),
                Row(f"{who}, p50", "ms", found["p50"], target=f"ours <= {most}"),
                Row(f"{who}, failed requests", "", found["failed"], target="ours <= 0"),
            ]
    return rows


BENCHMARKS = [Benchmark("servers encoder", encoder), Benchmark("servers suggestions", suggestions)]


def prepare(target: str) -> None:
    """Write weights, packages, a store, and the bodies of the requests."""
    import pyarrow as pa

    from components.activity.config import JOBS, ActivityConfig, SplitConfig
    from components.activity.sessions import write_sessions
    from components.encoder.config import EmbedConfig, EncoderConfig
    from components.encoder.embed import Embedder
    from components.encoder.heads import MaskedLanguageModel
    from components.encoder.model import Bert
    from components.encoder.vectors import MemberVectors, save_member_vectors
    from components.encoder.weights import cpu_state, save_encoder
    from components.marketplace.config import MarketplaceConfig
    from components.marketplace.generate import generate
    from components.text.config import TextConfig
    from components.text.vocabulary import Vocabulary, train_vocabulary
    from components.variants.package import write_package

    work, random = Path(target), np.random.default_rng(1)
    if (work / "texts.jsonl").exists():
        return
    market = MarketplaceConfig(members=300, occupations=40, companies=100, workers=1)
    generate(market, work / "feed", work / "truth", seed=1)
    write_sessions(work / "feed" / "actions", work / "sessions", ActivityConfig(partitions=1))
    text = TextConfig(vocabulary_size=8_000)
    train_vocabulary(
        work / "sessions", work / "vocabulary", text, JOBS, split=SplitConfig(), seed=1
    )
    size = EncoderConfig()
    model = MaskedLanguageModel(
        Bert(size, Vocabulary.load(work / "vocabulary").size), next_sentence=False
    )
    save_encoder(
        work / "weights", cpu_state(model), size, work / "vocabulary", pooling="mean_last4"
    )
    settings = {
        "vertical": JOBS.model_dump(mode="json"),
        "activity": ActivityConfig().model_dump(mode="json"),
        "embed": EmbedConfig().model_dump(mode="json"),
    }
    embedder = Embedder.load(work / "weights")
    made = {"encoder": embedder.version, "dimension": embedder.dimension, "encoder_kind": "bert"}
    write_package(
        work / "encoder-bench",
        {"encoder": work / "weights"},
        service="encoder",
        name="bench",
        settings=settings,
        **made,
    )
    said = _texts_of(work / "sessions")
    ids = pa.array([f"m{number:06d}" for number in range(MEMBERS)])
    vectors = random.normal(size=(MEMBERS, embedder.dimension)).astype(np.float32)
    save_member_vectors(work / "members", MemberVectors(ids, vectors, {}, embedder.version))
    _predict(work, vectors, said)
    write_package(
        work / "suggestions-bench",
        {
            "encoder": work / "weights",
            "slices/any": work / "slice",
            "slices/explore": work / "slice",
            "examples/labels.parquet": work / "labels.parquet",
        },
        service="suggestions",
        name="bench",
        dataset="bench",
        settings=settings,
        **made,
    )
    _write_bodies(work, said, random)


def _predict(work: Path, vectors: np.ndarray, said: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import scipy.sparse as sp

    from components.extreme.config import SliceConfig
    from components.extreme.entities import predict_entities
    from components.extreme.slice import train_slice
    from components.store.push import Source, push

    y = sp.identity(LABELS, format="csr")  # a label per member: what it learns does not matter
    model = train_slice(vectors[:LABELS], y, SliceConfig(rounds=2), seed=1)
    model.save(work / "slice")
    texts = [f"{said[number % len(said)]} {number}" for number in range(LABELS)]
    labels = pa.table(
        {
            "label": pa.array(range(LABELS), pa.int32()),
            "kind": ["query"] * LABELS,
            "text": texts,
            "count": [1] * LABELS,
        }
    )
    pq.write_table(labels, work / "labels.parquet")
    past = sp.csr_matrix((len(vectors), LABELS), dtype=np.float32)
    both = {"any": model, "explore": model}
    predict_entities(work / "members", both, past, work / "entities", k=20)
    source = Source(work / "members", work / "entities")
    push(f"lmdb:{work / 'store'}", "bench", source, data_time=1, labels=labels)


def _texts_of(sessions: Path) -> list[str]:
    import pyarrow.parquet as pq

    from components.activity.sessions import session_parts
    from components.text.render import entity_text

    table = pq.read_table(session_parts(sessions)[0], columns=["query", "company", "title"])
    return [entity_text(**row) for row in table.slice(0, 20_000).to_pylist()]


def _write_bodies(work: Path, said: Sequence[str], random: Any) -> None:
    from components.text.render import MAXIMUM_CHARACTERS

    def write(name: str, instances: Iterator[dict]) -> None:
        lines = (json.dumps({"instances": [instance]}) for instance in instances)
        (work / f"{name}.jsonl").write_text("\n".join(lines) + "\n")

    def texts() -> Iterator[dict]:
        for _ in range(BODIES):
            actions = 1 + random.poisson(9)  # 0.4 KB, about 60 subwords
            yield {"text": " ".join(random.choice(said, actions))[:MAXIMUM_CHARACTERS].strip()}

    def visitors() -> Iterator[dict]:
        for _ in range(BODIES):
            actions = [{"action": "JOB_SEARCH", "query": q} for q in random.choice(said, 5)]
            yield {"actions": actions, "surface": "explore"}

    def members() -> Iterator[dict]:
        for number in random.integers(0, MEMBERS, BODIES):
            yield {"member_id": f"m{number:06d}", "surface": "explore"}

    write("stored", members())
    write("cold", visitors())
    write("texts", texts())  # last: it tells that all is there


def _ours(packages: Sequence[Path], port: int, *more: str) -> list[str]:
    given = [word for package in packages for word in ("--model-dir", str(package))]
    served = [sys.executable, "-m", "serving.server", *given, "--watch", "0"]
    return [*served, "--http-port", str(port), *more]


@contextmanager
def _server(command: Sequence[str], port: int) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 120
        while True:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{' '.join(command)}: did not start")
            try:
                with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ask(url: str, body: dict) -> list:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())["predictions"]


def _load(url: str, bodies: Path, connections: int) -> dict[str, float]:
    """Run wrk; requests a second, latencies in ms, and how many failed."""
    from serving.local.binaries import binary

    script = bodies.with_suffix(".lua")
    script.write_text(LUA % bodies)
    for seconds in (WARM_UP, SECONDS):
        done = subprocess.run(
            [
                str(binary("wrk")),
                *("-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "20s"),
                *("-s", str(script), url),
            ],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ,
        )
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    if found is None:
        raise RuntimeError(f"wrk said no result:\n{done.stdout}{done.stderr}")
    requests, duration, p50, p99, failed = map(int, found.groups())
    return {
        "rate": requests / (duration / 1e6),
        "p50": p50 / 1e3,
        "p99": p99 / 1e3,
        "failed": failed,
    }


def _port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
