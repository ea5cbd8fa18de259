"""Slice against PECOS XR-Linear on clustered synthetic labels; one member over 100K labels."""

import time
from pathlib import Path

import numpy as np

from benchmarks.harness import Benchmark, Row, measure, peer_python

DIMENSION, TEST_POINTS = 512, 2000
FULL_POINTS, FULL_LABELS, LABELS_PER_POINT = 200_000, 500_000, 16
SIZES = {"20K x 15K": (20_000, 50_000, 6), "60K x 50K": (60_000, 150_000, 5)}
ONE_MEMBER_LABELS, ONE_MEMBER_CALLS = 100_000, 500


def _against_pecos(points: int, candidates: int, share: int):
    def compare(work: Path) -> list[Row]:
        data = str(work)
        arguments = {"points": points, "candidates": candidates}
        measure("benchmarks.bench_slice:generate", target=data, **arguments)
        ours = measure("benchmarks.bench_slice:ours", data=data).value
        python = peer_python("pecos")
        peer = measure("benchmarks.peers.xr_linear:train", python=python, data=data).value
        times = (ours["cpu_seconds"], peer["cpu_seconds"], "PECOS XR-Linear")
        scores = (ours["p@1"], peer["p@1"], "PECOS XR-Linear")
        return [
            Row("training CPU time", "s", *times, target=f"ratio <= {1 / share:.4f}"),
            Row("precision at 1", "", *scores, target="lead >= 0.05"),
        ]

    return compare


def half_a_million(work: Path) -> list[Row]:
    """Train on 200K points and 500K labels."""
    measure("benchmarks.bench_slice:generate_many", target=str(work))
    trained = measure("benchmarks.bench_slice:ours", data=str(work))
    print(f"CPU seconds {trained.value['cpu_seconds']:.0f}, P@1 {trained.value['p@1']:.3f}")
    return [
        Row("time", "min", trained.wall_seconds / 60, target="ours <= 30"),
        Row("peak memory", "GB", trained.peak_bytes / 1e9, target="ours <= 12"),
    ]


def one_member(work: Path) -> list[Row]:
    """Predict for one member at a time."""
    milliseconds = measure("benchmarks.bench_slice:predict_one", threads=1).value
    return [Row("median latency", "ms", milliseconds, target="ours <= 1")]


def ours(data: str) -> dict[str, float]:
    """Train and measure our Slice; compilation is left out, as the installed PECOS is compiled."""
    from components.extreme.config import SliceConfig
    from components.extreme.slice import train_slice

    x, y, test_x, test_y = _load(Path(data))
    train_slice(x[:400], y[:400], SliceConfig(), seed=1)
    start = time.process_time()
    model = train_slice(x, y, SliceConfig(), seed=1)
    seconds = time.process_time() - start
    best, _ = model.predict(test_x, 1)
    hits = np.asarray(test_y[np.arange(len(test_x)), best[:, 0]]).ravel() > 0
    return {"cpu_seconds": seconds, "p@1": float(hits.mean())}


def predict_one() -> float:
    """Return the median milliseconds of a prediction for one row."""
    import scipy.sparse as sp

    from components.extreme.config import SliceConfig
    from components.extreme.slice import train_slice

    random = np.random.default_rng(1)
    x = random.normal(size=(ONE_MEMBER_LABELS, DIMENSION)).astype(np.float32)
    model = train_slice(x, sp.eye(ONE_MEMBER_LABELS, format="csr"), SliceConfig(rounds=1), seed=1)
    seconds = []
    for row in range(ONE_MEMBER_CALLS):
        start = time.perf_counter()
        model.predict(x[row : row + 1], 10)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)) * 1e3


def generate(target: str, points: int, candidates: int, seed: int = 1) -> None:
    """Write points whose labels come in topics of power-law popularity, without rare labels."""
    import scipy.sparse as sp

    random = np.random.default_rng(seed)
    topics, latent = 1000, 64
    centre = random.normal(size=(topics, latent)).astype(np.float32)
    topic_of = np.sort(random.integers(0, topics, candidates))
    embedding = centre[topic_of] + 0.7 * random.normal(size=(candidates, latent))
    popularity = random.permutation(1 / np.arange(1, candidates + 1) ** 0.9)
    members = [np.flatnonzero(topic_of == topic) for topic in range(topics)]
    weight = np.array([popularity[own].sum() for own in members]) ** 0.6
    cumulative = [np.cumsum(popularity[own]) / popularity[own].sum() for own in members]
    lift = random.normal(size=(latent, DIMENSION)) / 8

    def draw(count: int):
        rows, columns, low = [], [], np.zeros((count, latent))
        for row in range(count):
            chosen = random.choice(topics, size=3, p=weight / weight.sum())
            wanted = int(np.clip(random.poisson(10), 1, 30))
            picks = chosen[random.choice(3, size=wanted, p=random.dirichlet([1, 1, 1]))]
            places = [np.searchsorted(cumulative[topic], random.random()) for topic in picks]
            own = {
                int(members[topic][min(place, len(members[topic]) - 1)])
                for topic, place in zip(picks, places, strict=True)
            }
            rows += [row] * len(own)
            columns += sorted(own)
            low[row] = embedding[sorted(own)].mean(0)
        noise = 0.1 * random.normal(size=(count, DIMENSION))
        x = low @ lift + noise + 0.3 * np.tanh(low @ lift * 3)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        values = np.ones(len(rows), np.float32)
        return x.astype(np.float32), sp.csr_matrix((values, (rows, columns)), (count, candidates))

    (x, y), (test_x, test_y) = draw(points), draw(TEST_POINTS)
    kept = np.asarray(y.sum(0)).ravel() >= 3
    _save(Path(target), x, y[:, kept], test_x, test_y[:, kept])


def generate_many(target: str, seed: int = 1) -> None:
    """Write points and labels of the same kind, by the block, with labels as rare as one point."""
    import scipy.sparse as sp

    random = np.random.default_rng(seed)
    per_topic, latent = 120, 64
    topics = FULL_LABELS * 11 // 10 // per_topic
    centre = random.normal(size=(topics, 1, latent))
    spread = 0.7 * random.normal(size=(topics, per_topic, latent))
    embedding = (centre + spread).reshape(-1, latent).astype(np.float32)
    lift = (random.normal(size=(latent, DIMENSION)) / 8).astype(np.float32)

    def draw(count: int):
        chosen = random.integers(0, topics, (count, 3))
        topic = np.take_along_axis(chosen, random.integers(0, 3, (count, LABELS_PER_POINT)), 1)
        rank = (per_topic * random.random((count, LABELS_PER_POINT)) ** 2).astype(np.int64)
        own = topic * per_topic + rank
        low = np.mean(embedding[own], axis=1) @ lift
        x = low + 0.1 * random.normal(size=low.shape) + 0.3 * np.tanh(3 * low)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        offsets = np.arange(0, own.size + 1, LABELS_PER_POINT)
        y = sp.csr_matrix(
            (np.ones(own.size, np.float32), own.ravel(), offsets), (count, len(embedding))
        )
        y.sum_duplicates()
        return x.astype(np.float32), y

    blocks = [draw(10_000) for _ in range(FULL_POINTS // 10_000)]
    x, y = np.concatenate([block[0] for block in blocks]), sp.vstack([block[1] for block in blocks])
    test_x, test_y = draw(TEST_POINTS)
    kept = np.sort(np.argsort(-np.asarray(y.sum(0)).ravel(), kind="stable")[:FULL_LABELS])
    _save(Path(target), x, y.tocsr()[:, kept], test_x, test_y[:, kept])


def _save(folder: Path, x, y, test_x, test_y) -> None:
    import scipy.sparse as sp

    np.save(folder / "x.npy", x)
    np.save(folder / "test_x.npy", test_x)
    sp.save_npz(folder / "y.npz", y.tocsr())
    sp.save_npz(folder / "test_y.npz", test_y.tocsr())


def _load(folder: Path):
    import scipy.sparse as sp

    x, test_x = np.load(folder / "x.npy"), np.load(folder / "test_x.npy")
    return x, sp.load_npz(folder / "y.npz"), test_x, sp.load_npz(folder / "test_y.npz")


BENCHMARKS = [
    *(Benchmark(f"slice {name}", _against_pecos(*size)) for name, size in SIZES.items()),
    Benchmark("slice one member over 100K labels", one_member),
    Benchmark("slice 200K x 500K", half_a_million, full=True),
]
