"""Ranking: steps per CPU-second of the training loop, and the time to score one list.

The model has the published shape: one Transformer layer of 100 with 10 heads over query, title and
company, four fully connected layers, the tower of five over a 512 d vector; 64 lists of 25 in a
step. Texts are as long as in the generated marketplace. Half of a page's titles are those that its
query brings most often, so pages of the same queries share them.
"""

import json
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import Benchmark, Row, measure

LISTS, LENGTH = 2_000, 25
QUERIES, TITLES, COMPANIES, WORDS = 1_000, 5_000, 1_000, 20_000
WIDTHS = {"query": 8, "title": 10, "company": 6}
TITLES_OF_QUERY = 60
CONTINUOUS, CODES = 100, (20, 50, 10, 30, 1000, 50, 10, 300, 50, 40, 25, 8)
DIMENSION = 512
STEPS = 30
REQUEST, REQUESTS = 100, 100


def ranking(work: Path) -> list[Row]:
    module, data = "benchmarks.bench_ranking", str(work)
    measure(f"{module}:generate", target=data)
    speed = measure(f"{module}:training", threads=1, data=data).value
    naive = measure(f"{module}:naive", threads=1, data=data).value
    latency = measure(f"{module}:scoring", threads=1, data=data).value
    loop, bare, unit = speed["loop"], speed["bare"], "steps/CPU-s"
    every_text = "every text of every document encoded"
    return [
        Row("whole loop", unit, loop, bare, "the step alone, one batch again", "ratio >= 0.8"),
        Row("whole loop, 64 lists of 25", unit, loop, target="ours >= 3"),
        Row("step, 64 lists of 25", unit, bare, naive, every_text, "ratio >= 1"),
        Row("one list of 100, median", "ms", latency, target="ours <= 20"),
    ]


BENCHMARKS = [Benchmark("ranking", ranking)]


def generate(target: str) -> None:
    """Write lists, and the vectors of their members."""
    from components.encoder.vectors import save_vectors

    random = np.random.default_rng(0)
    directory = Path(target) / "lists"
    directory.mkdir()
    documents = LISTS * LENGTH
    query = random.zipf(1.3, LISTS) % QUERIES
    favourites = random.integers(0, TITLES, (QUERIES, TITLES_OF_QUERY))
    usual = favourites[np.repeat(query, LENGTH), random.zipf(1.3, documents) % TITLES_OF_QUERY]
    title = np.where(random.random(documents) < 0.5, usual, random.integers(0, TITLES, documents))
    arrays = {
        "offsets": np.arange(LISTS + 1, dtype=np.int64) * LENGTH,
        "gains": random.choice([0, 1, 3], documents, p=[0.85, 0.1, 0.05]).astype(np.float32),
        "continuous": random.standard_normal((documents, CONTINUOUS)).astype(np.float32),
        "categorical": random.integers(0, CODES, (documents, len(CODES))).astype(np.int32),
        "query": query.astype(np.int32),
        "title": title.astype(np.int32),
        "company": (random.zipf(1.2, documents) % COMPANIES).astype(np.int32),
        "queries": _texts(random, QUERIES, WIDTHS["query"]),
        "titles": _texts(random, TITLES, WIDTHS["title"]),
        "companies": _texts(random, COMPANIES, WIDTHS["company"]),
        "example": np.arange(LISTS, dtype=np.int32),
        "split": (np.arange(LISTS) >= 0.9 * LISTS).astype(np.int8),
        "frequency": np.ones(LISTS, np.int64),
    }
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)
    words = ["", "<unknown>", *(f"word{number}" for number in range(2, WORDS))]
    (directory / "words.txt").write_text("\n".join(words) + "\n")
    about = {
        "continuous": [f"continuous{number}" for number in range(CONTINUOUS)],
        "categorical": [[f"categorical{number}", size] for number, size in enumerate(CODES)],
        "widths": WIDTHS,
        "lists": LISTS,
        "documents": documents,
    }
    (directory / "about.json").write_text(json.dumps(about))
    vectors = random.standard_normal((LISTS, DIMENSION)).astype(np.float32)
    save_vectors(Path(target) / "vectors", vectors, encoder="benchmark")


def training(data: str) -> dict[str, float]:
    """Steps per CPU-second: of the loop as it trains, and of its step on one prepared batch."""
    trainer = _trainer(data)
    losses = trainer.steps(0)
    next(losses)  # is traced here
    start = time.process_time()
    for _ in range(STEPS):
        next(losses)
    loop = STEPS / (time.process_time() - start)
    return {"loop": loop, "bare": _bare(trainer, lambda batch: batch)}


def naive(data: str) -> float:
    """Steps per CPU-second on one prepared batch whose texts are laid out document by document."""

    def laid_out(batch):
        d = batch.documents
        every = np.arange(len(d.title), dtype=np.int32)
        documents = d._replace(
            queries=d.queries[d.query[d.owner]],
            # Each list's query is that of its first document; the others are encoded in vain.
            query=np.searchsorted(d.owner, np.arange(len(d.query))).astype(np.int32),
            titles=d.titles[d.title],
            title=every,
            companies=d.companies[d.company],
            company=every,
        )
        return batch._replace(documents=documents)

    return _bare(_trainer(data), laid_out)


def scoring(data: str) -> float:
    """Median milliseconds to score one list through the loaded SavedModel."""
    from components.ranking.config import RankerConfig
    from components.ranking.lists import Lists
    from components.ranking.training import train_ranker

    _one_thread()
    config = RankerConfig(steps=1)
    lists, target = Path(data, "lists"), Path(data, "ranker")
    options = {"tower": True, "words": None, "seed": 0, "checkpoints": None}
    train_ranker(lists, Path(data, "vectors"), target, config, **options)

    from components.ranking.scorer import Ranker

    ranker, opened, random = Ranker.open(target), Lists.open(lists), np.random.default_rng(0)
    vectors = np.load(Path(data, "vectors", "vectors.npy"))
    seconds = []
    for number in range(REQUESTS):
        rows = random.integers(0, len(opened.gains), REQUEST)
        request = (
            opened.queries[opened.query[number]],
            opened.titles[opened.title[rows]],
            opened.companies[opened.company[rows]],
            opened.continuous[rows],
            opened.categorical[rows],
            vectors[number],
        )
        start = time.perf_counter()
        ranker.score(*request)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def _trainer(data: str):
    from components.ranking.config import RankerConfig
    from components.ranking.data import TrainingData
    from components.ranking.training import Trainer

    tf = _one_thread()
    tf.random.set_seed(0)
    tf.config.experimental.enable_op_determinism()
    config = RankerConfig()
    opened = TrainingData.open(Path(data, "lists"), Path(data, "vectors"), config)
    return Trainer(opened, config, tower=True, seed=0)


def _bare(trainer, prepare) -> float:
    from components.ranking.keras import tf

    batches, specs = trainer.batches(0)
    first = tf.nest.map_structure(lambda tensor: tensor.numpy(), next(iter(batches)))
    batch = tf.nest.map_structure(tf.constant, prepare(first))
    step, noise = trainer.compiled(specs), tf.constant([0, 0])
    step(batch, noise)
    start = time.process_time()
    for _ in range(STEPS):
        step(batch, noise)
    return STEPS / (time.process_time() - start)


def _one_thread():
    from components.ranking.keras import tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def _texts(random: np.random.Generator, count: int, width: int) -> np.ndarray:
    """Two to eight words, four on average where there is room, as titles have."""
    texts = random.integers(2, WORDS, (count, width)).astype(np.int32)
    lengths = np.minimum(random.binomial(6, 1 / 3, count) + 2, width)
    texts[np.arange(width) >= lengths[:, None]] = 0
    return texts
