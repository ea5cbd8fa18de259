"""Which Slice predicts which data set is chosen on validation members."""

from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp

from components.extreme.config import SliceConfig
from components.extreme.training_sets import load_slices, train_slices

AXES = np.eye(6, dtype=np.float32)


class TwoMeanings(SimpleNamespace):
    """Examples whose D1-new labels are noise in training, so that D2's Slice knows better."""

    def select(self, dataset, split):
        rows = np.arange(0, 48) if split == "train" else np.arange(48, 60)
        own = rows % 6
        if dataset == "D1-new" and split == "train":
            own = np.random.default_rng(1).integers(0, 6, len(rows))
        labels = sp.csr_matrix((np.ones(len(rows)), (np.arange(len(rows)), own)), (len(rows), 6))
        return rows, labels

    def past_to_exclude(self, dataset, rows):
        return None


def test_the_slice_that_is_most_precise_on_validation_members_is_chosen(tmp_path):
    noise = np.random.default_rng(2).normal(0, 0.02, (60, 6))
    vectors = (AXES[np.arange(60) % 6] + noise).astype(np.float32)
    chosen = train_slices(vectors, TwoMeanings(), tmp_path / "slices", SliceConfig(), seed=1)
    assert chosen["D3"] == chosen["D2"]
    best, _ = load_slices(tmp_path / "slices")["D1-new"].predict(vectors[48:], 1)
    assert best.ravel().tolist() == (np.arange(48, 60) % 6).tolist()
