"""PECOS XR-Linear, in its own environment."""

import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp


def train(data: str) -> dict[str, float]:
    """Train with PECOS's defaults on the same threads; return CPU seconds and precision at 1."""
    from pecos.xmc import Indexer, LabelEmbeddingFactory
    from pecos.xmc.xlinear.model import XLinearModel

    folder = Path(data)
    y, test_y = sp.load_npz(folder / "y.npz"), sp.load_npz(folder / "test_y.npz")
    x, test_x = np.load(folder / "x.npy"), np.load(folder / "test_x.npy")
    start = time.process_time()
    clusters = Indexer.gen(LabelEmbeddingFactory.create(y, x))
    model = XLinearModel.train(x, y, C=clusters)
    seconds = time.process_time() - start
    best = np.asarray(model.predict(test_x, only_topk=1).argmax(axis=1)).ravel()
    hits = np.asarray(test_y[np.arange(test_x.shape[0]), best]).ravel() > 0
    return {"cpu_seconds": seconds, "p@1": float(hits.mean())}
