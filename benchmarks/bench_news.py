"""Ranking of news at the published sizes: steps per second and peak memory of each combination.

u and v have 1024 dimensions, layers 512, 256, 256, 256, steps 32 lists of 1 + 10 items; as many
items as MIND-large has. The peer is the same network in the same library as one would write it
first: Keras layers over the concatenated parts, fitted on pairs that were laid out beforehand.
"""

import time
from pathlib import Path

import numpy as np

from benchmarks.harness import Benchmark, Row, measure

ITEMS, HISTORIES, IMPRESSIONS, CANDIDATES = 160_000, 50_000, 20_000, 37
DIMENSION = 1024
VECTORS = ("history_vectors", "item_vectors")
STEPS, WARM = 300, 5
PEER_STEPS = 100  # of pairs laid out, 8 KB each


def news(work: Path) -> list[Row]:
    from components.news.config import COMBINATIONS

    module = "benchmarks.bench_news"
    measure(f"{module}:generate", target=str(work))
    rows = []
    for combination in COMBINATIONS:
        given = {"data": str(work), "combination": combination}
        ours = measure(f"{module}:ours", threads=1, **given)
        peer = measure(f"{module}:peer", threads=1, **given)
        unit, layout = "steps/CPU-s", "Keras layers, pairs laid out"
        rows += [
            Row(f"{{{combination}}}", unit, ours.value["loop"], peer.value, layout, "ratio >= 1"),
            Row(
                f"{{{combination}}}, gathering",
                "share of a step",
                ours.value["gathering"],
                target="ours <= 0.1",
            ),
            Row(
                f"{{{combination}}}, peak memory",
                "GB",
                ours.peak_bytes / 1e9,
                peer.peak_bytes / 1e9,
                layout,
                "ratio <= 1",
            ),
        ]
    return rows


BENCHMARKS = [Benchmark("news", news)]


def generate(target: str) -> None:
    """Write vectors of all items and histories, and impressions of them."""
    random = np.random.default_rng(0)
    block = random.standard_normal((4096, DIMENSION)).astype(np.float16)
    for name, count in zip(VECTORS, (HISTORIES, ITEMS), strict=True):
        shape = (count + 1, DIMENSION)
        path = Path(target, f"{name}.npy")
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
        for start in range(0, count, len(block)):
            array[start : min(start + len(block), count)] = block[: count - start]
        array.flush()
    clicked = np.zeros((IMPRESSIONS, CANDIDATES), np.int8)
    clicked[:, 0] = 1
    arrays = {
        "ids": np.arange(IMPRESSIONS),
        "ts": np.arange(IMPRESSIONS),
        "fold": np.zeros(IMPRESSIONS, np.int8),
        "offsets": np.arange(IMPRESSIONS + 1) * CANDIDATES,
        # Few items are shown often, as on a news site.
        "items": ((random.pareto(1.0, IMPRESSIONS * CANDIDATES) * 100) % ITEMS).astype(np.int32),
        "clicked": clicked.ravel(),
        "history": random.integers(0, HISTORIES, IMPRESSIONS).astype(np.int32),
        "histories": np.zeros((HISTORIES, 10), np.int32),
    }
    for name, array in arrays.items():
        np.save(Path(target, f"{name}.npy"), array)


def ours(data: str, combination: str) -> dict[str, float]:
    """Steps per CPU-second of the loop as it trains, and the share of them that is gathering."""
    trainer = _trainer(data, combination)
    losses = trainer.steps(0)
    for _ in range(WARM):
        next(losses)  # the first is traced
    start = time.process_time()
    for _ in range(STEPS):
        next(losses)
    seconds = time.process_time() - start
    start = time.process_time()
    for step in range(STEPS):
        trainer.pairs(step)
    return {"loop": STEPS / seconds, "gathering": (time.process_time() - start) / seconds}


def peer(data: str, combination: str) -> float:
    """Steps per CPU-second of `fit` on pairs that lie in memory, the layout not counted."""
    trainer = _trainer(data, combination)

    from components.news.config import NewsConfig
    from components.ranking.keras import tf, tfr

    config, size = NewsConfig(), 1 + NewsConfig().negatives
    steps = [trainer.pairs(step) for step in range(PEER_STEPS)]
    users = np.concatenate([pairs.users[pairs.user] for pairs in steps])
    items = np.concatenate([pairs.items[pairs.item] for pairs in steps])
    clicked = np.tile(np.eye(1, size, dtype=np.float32), (len(users) // size, 1))
    u, v = (tf.keras.Input([size, DIMENSION]) for _ in range(2))
    made = {"u": u, "v": v, "u*v": u * v, "|u-v|": tf.abs(u - v)}
    x = tf.concat([made[part] for part in combination.split(",")], -1)
    for units in config.units:
        x = tf.keras.layers.Dense(units, activation="relu")(x)
    scores = tf.keras.layers.Dense(1)(x)[..., 0]
    model = tf.keras.Model([u, v], scores)
    optimiser = tf.keras.optimizers.Adagrad(config.learning_rate)
    model.compile(optimiser, tfr.keras.losses.SigmoidCrossEntropyLoss())
    laid_out = [array.reshape(-1, size, DIMENSION) for array in (users, items)]
    settings = {"batch_size": config.batch, "shuffle": False, "verbose": 0}
    warm = WARM * config.batch
    model.fit([array[:warm] for array in laid_out], clicked[:warm], **settings)
    start = time.process_time()
    model.fit(laid_out, clicked, **settings)
    return PEER_STEPS / (time.process_time() - start)


def _trainer(data: str, combination: str):
    from components.ranking.keras import tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.random.set_seed(0)
    tf.config.experimental.enable_op_determinism()

    from components.news.config import NewsConfig
    from components.news.impressions import Impressions
    from components.news.training import NewsTrainer, TrainingSide
    from components.news.vectors import NewsVectors

    impressions, config = Impressions.open(Path(data)), NewsConfig()
    users, items = (np.load(Path(data, f"{name}.npy"), mmap_mode="r") for name in VECTORS)
    side = TrainingSide.of(impressions, NewsVectors(users, items), config)
    return NewsTrainer(side, config, combination, seed=0)
