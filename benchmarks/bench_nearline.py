"""Near-real-time updates: what a CPU-second brings up to date, and how soon.

Members of a generated marketplace with long trails act on for some days after the daily run, and
their actions come in by time. Ours re-encodes each one's open chunk; the peer does what a service
without state does, which reads and encodes the whole trail whenever a session is over. Both write
the same records. The encoder has the published size (12 x 128, chunks of 512) and random weights.

The lag is taken with a real broker: sessions that are long over are sent, so that what is left of
the wait is ours, from before they are sent to when the store answers with the new record.
"""

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Benchmark, Row, measure

MEMBERS = 80
SESSIONS = 70.0
DAYS, LAST_DAYS = 200, 15
ENTITIES, DATASET = 20, "finetuned"
DAY = 86_400_000_000
MINUTE = 60_000_000
WAVES, PER_WAVE, SECONDS_BETWEEN_WAVES = 20, 20, 1.3


def keep_up(work: Path) -> list[Row]:
    """Bring the same members up to date both ways; then send sessions and watch the store."""
    home, module = str(work), "benchmarks.bench_nearline"
    measure(f"{module}:prepare", home=home)
    ours = measure(f"{module}:ours", threads=1, home=home).value
    peer = measure(f"{module}:whole_trails", threads=1, home=home).value
    if peer["difference"] > 0.01:
        raise RuntimeError(f"vectors differ by {peer['difference']} from the whole trail's")
    lags = measure(f"{module}:lag", home=home).value
    speeds = (ours["speed"], peer["speed"], "whole trail encoded anew")
    return [
        Row("actions per CPU-second", "1/s", *speeds, target="ratio >= 2"),
        Row("lag p50", "s", float(np.quantile(lags, 0.5)), target="ours <= 1"),
        Row("lag p99", "s", float(np.quantile(lags, 0.99)), target="ours <= 2"),
    ]


BENCHMARKS = [Benchmark("nearline", keep_up)]


def prepare(home: str) -> None:
    """Generate members, and make what a daily run before their last days leaves."""
    import pyarrow.parquet as pq

    from components.activity.config import JOBS, ActivityConfig, SplitConfig
    from components.activity.sessions import write_sessions
    from components.encoder.config import EmbedConfig
    from components.encoder.embed import embed_members
    from components.encoder.vectors import MemberVectors
    from components.labels.config import ExamplesConfig
    from components.labels.examples import build_examples, read_labels
    from components.labels.trails import past_labels
    from components.marketplace.config import MarketplaceConfig
    from components.marketplace.generate import generate
    from components.text.config import TextConfig
    from components.text.documents import write_tokens
    from components.text.vocabulary import train_vocabulary

    place, run = Path(home), Path(home, "run")
    source = MarketplaceConfig(
        members=MEMBERS, sessions_per_member=SESSIONS, days=DAYS, most_sessions=200, workers=1
    )
    generate(source, place / "feed", place / "truth", seed=1)
    actions = pq.read_table(place / "feed" / "actions").sort_by([("ts", "ascending")])
    times = actions["ts"].to_numpy()
    cut = int(np.searchsorted(times, times[-1] - LAST_DAYS * DAY))
    (place / "before").mkdir()
    pq.write_table(actions[:cut], place / "before" / "part-00000.parquet")
    pq.write_table(actions[cut:], place / "after.parquet")

    sessions, tokens = run / "sessions" / "sessions", run / "tokens" / "tokens"
    split, text = SplitConfig(validation=0, test=0), TextConfig(vocabulary_size=8000)
    write_sessions(place / "before", sessions, ActivityConfig(partitions=1))
    train_vocabulary(sessions, place / "vocabulary", text, JOBS, split=split, seed=0)
    write_tokens(sessions, place / "vocabulary", tokens, text, split=split, seed=0)
    examples = ExamplesConfig(minimum_label_count=1)
    build_examples(sessions, place / "examples", examples, JOBS, split=split, seed=0)
    _save_encoder(place / "vocabulary", place / "encoder")
    vectors = run / "vectors" / "vectors"
    embed_members(place / "encoder", tokens, vectors, config=EmbedConfig(), previous=None)
    made = MemberVectors.open(vectors)
    labels = read_labels(place / "examples")
    _save_package(place, made, past_labels(sessions, labels, made.member_ids, JOBS))


def ours(home: str) -> dict[str, float]:
    """Take the actions in as they come, a batch at a time; save the vectors for comparison."""
    from serving.nearline.metrics import Metrics

    updates, store = _open(Path(home), Metrics())
    batches = _batches(Path(home))
    partition = updates.open_partition(0, Path(home, "state"))
    start = time.process_time()
    for batch in batches:
        _take(updates, partition, batch)
    partition.caught_up = True
    _take(updates, partition, [])
    seconds = time.process_time() - start
    members = sorted({message.key.decode() for batch in batches for message in batch})
    np.save(Path(home, "ours.npy"), store.vectors(members)[0])
    return {"actions": sum(map(len, batches)), "speed": sum(map(len, batches)) / seconds}


def whole_trails(home: str) -> dict[str, float]:
    """Do the same by encoding the whole trail of everybody with a finished session."""
    import pyarrow.parquet as pq

    from serving.nearline.config import NearlineConfig
    from serving.nearline.messages import Action, Reader
    from serving.nearline.metrics import Metrics
    from serving.nearline.trail import Trail

    place = Path(home)
    updates, store = _open(place, Metrics())
    predictor = updates.predictor
    config = NearlineConfig(topic="actions")
    reader, batches = Reader(predictor.vertical, config), _batches(place)
    lateness = int(config.lateness_minutes * MINUTE)
    columns = ("sequence", *Action._fields[1:])
    trails: dict[str, list[Action]] = {}
    for row in pq.read_table(place / "before").sort_by("ts").select(columns).to_pylist():
        trails.setdefault(row["member_id"], []).append(Action(*row.values()))
    waiting: set[str] = set()
    start = time.process_time()
    for batch in [*batches, []]:
        for action in reader.read(batch).actions:
            trails.setdefault(action.member_id, []).append(action)
            waiting.add(action.member_id)
        newest = batch[-1].time if batch else time.time_ns() // 1000
        over = [m for m in waiting if trails[m][-1].ts + predictor.idle < newest - lateness]
        waiting -= set(over)
        if over:
            empty = Trail.empty(predictor.embedder.dimension)
            whole = predictor.extend([empty] * len(over), [trails[member] for member in over])
            updates.write(over, whole)
    seconds = time.process_time() - start
    members = sorted({message.key.decode() for batch in batches for message in batch})
    difference = np.abs(store.vectors(members)[0] - np.load(place / "ours.npy")).max()
    return {"speed": sum(map(len, batches)) / seconds, "difference": float(difference)}


def lag(home: str) -> list[float]:
    """Return seconds from sending a session that is over to its record in the store."""
    from serving.nearline.config import NearlineConfig
    from serving.nearline.consumer import ActionConsumer
    from serving.nearline.metrics import Metrics
    from tests.serving.nearline.broker import Broker, wait_until

    place, metrics = Path(home), Metrics()
    updates, store = _open(place, metrics)
    broker = Broker()
    topic = broker.topic()
    kafka = {"bootstrap.servers": broker.address}
    config = NearlineConfig(topic=topic)
    consumer = ActionConsumer(kafka, "bench", updates, place / "lag", config, metrics)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    members = [f"m{number:07d}" for number in range(PER_WAVE)]
    lags: list[float] = []
    try:
        now = time.time_ns() // 1000 - 2 * DAY
        broker.send(topic, [_search("first", now)])
        wait_until(lambda: _count(metrics, "messages") >= 1, "the consumer has joined")
        for _ in range(WAVES):
            now += 60 * MINUTE
            time.sleep(SECONDS_BETWEEN_WAVES)
            sent = time.monotonic()
            broker.send(topic, [_search(member, now + n) for n, member in enumerate(members)])
            missing = dict(zip(members, range(now, now + PER_WAVE), strict=True))
            while missing:
                found = store.get_many(list(missing)).data_times
                done = [m for m, at in zip(missing, found, strict=True) if at == missing[m]]
                lags += [time.monotonic() - sent] * len(done)
                for member in done:
                    del missing[member]
                time.sleep(0.01)
    finally:
        consumer.stop()
        thread.join()
        broker.stop()
    return lags


def _open(place: Path, metrics: Any) -> tuple[Any, Any]:
    """Open updates on a store of their own that holds the daily run's members."""
    import shutil

    from components.store.push import Source, push
    from components.store.store import open_store
    from serving.nearline.config import NearlineConfig
    from serving.nearline.predictor import Predictor
    from serving.nearline.snapshot import Snapshot
    from serving.nearline.updates import Updates

    predictor = Predictor.open(place / "package")
    snapshot = Snapshot.open(place / "run", predictor)
    shutil.rmtree(place / "store", ignore_errors=True)
    source = Source(place / "run" / "vectors" / "vectors", place / "entities.parquet")
    push(place / "store", DATASET, source, data_time=snapshot.data_time)
    store = open_store(place / "store", dataset=DATASET, role="writer")
    config = NearlineConfig(topic="actions")
    return Updates(predictor, store, snapshot, config, metrics), store


def _take(updates: Any, partition: Any, batch: list) -> None:
    batches = {0: batch} if batch else {}
    while updates.take([partition], batches, _refuse):
        batches = {}


def _refuse(letters: Any) -> None:
    raise RuntimeError(f"bad messages: {letters[:3]}")


def _batches(place: Path, size: int = 200) -> list[list]:
    """Return the later actions as messages, stamped when they happened."""
    import pyarrow.parquet as pq

    from serving.nearline.messages import Message

    rows = pq.read_table(place / "after.parquet").drop("sequence").to_pylist()
    messages = [
        Message(
            offset,
            row["ts"],
            row["member_id"].encode(),
            json.dumps({name: text for name, text in row.items() if text is not None}).encode(),
        )
        for offset, row in enumerate(rows)
    ]
    return [messages[start : start + size] for start in range(0, len(messages), size)]


def _search(member: str, ts: int) -> dict[str, Any]:
    action = {"channel": "search", "action": "JOB_SEARCH", "query": "data engineer remote"}
    return {"member_id": member, "ts": ts} | action


def _count(metrics: Any, name: str) -> float:
    return metrics.registry.get_sample_value(f"intent_nearline_{name}_total") or 0


def _save_encoder(vocabulary: Path, target: Path) -> None:
    import torch

    from components.encoder.config import EncoderConfig
    from components.encoder.heads import MaskedLanguageModel
    from components.encoder.model import Bert
    from components.encoder.weights import cpu_state, save_encoder
    from components.text.vocabulary import Vocabulary

    torch.manual_seed(0)
    size = EncoderConfig()
    bert = Bert(size, Vocabulary.load(vocabulary).size)
    model = MaskedLanguageModel(bert, next_sentence=False)
    save_encoder(target, cpu_state(model), size, vocabulary, pooling="mean_last4")


def _save_package(place: Path, made: Any, past: Any) -> None:
    """Write the package of suggestions, and everybody's entities, from vectors and past labels."""
    from components.activity.config import JOBS, ActivityConfig
    from components.encoder.config import EmbedConfig
    from components.extreme.config import SliceConfig
    from components.extreme.entities import predict_entities
    from components.extreme.slice import train_slice
    from components.variants.package import write_package

    model = train_slice(made.vectors, past, SliceConfig(), seed=0)
    model.save(place / "slice")
    models = {"any": model, "explore": model}
    vectors = place / "run" / "vectors" / "vectors"
    predict_entities(vectors, models, past, place / "entities.parquet", k=ENTITIES)
    sections = {"vertical": JOBS, "activity": ActivityConfig(), "embed": EmbedConfig()}
    write_package(
        place / "package",
        {
            "encoder": place / "encoder",
            "slices/any": place / "slice",
            "slices/explore": place / "slice",
            "examples/labels.parquet": place / "examples" / "labels.parquet",
        },
        service="suggestions",
        name="finetuned",
        settings={name: section.model_dump(mode="json") for name, section in sections.items()},
        encoder=made.encoder,
        encoder_kind="bert",
        dimension=made.vectors.shape[1],
        dataset=DATASET,
    )
