"""The shim: tensorflow-ranking beside today's TensorFlow."""

import os
import subprocess
import sys

import numpy as np
import pytest

from components.ranking.keras import tf, tfr


def test_losses_rank_by_softmax_and_leave_padding_out():
    labels, scores = [[1.0, 0.0, -1.0]], [[2.0, 1.0, 9.0]]
    loss = tfr.keras.losses.SoftmaxLoss()(labels, scores).numpy()
    assert loss == pytest.approx(np.log(1 + np.exp(-1.0)), rel=1e-5)


def test_metrics_agree_with_their_formula():
    labels, scores = [[0.0, 3.0, 1.0]], [[3.0, 2.0, 1.0]]
    ndcg = tfr.keras.metrics.NDCGMetric(topn=25)(labels, scores).numpy()
    discount = 1 / np.log2(np.arange(2, 5))
    assert ndcg == pytest.approx(np.dot([0, 7, 1], discount) / np.dot([7, 1, 0], discount))


def test_keras_is_the_one_that_tensorflow_ranking_was_written_for():
    assert tf.keras.layers.Layer.__module__.startswith("tf_keras")


def test_keras_3_in_use_is_refused():
    code = "import tensorflow as tf; tf.keras.layers.Layer; import components.ranking.keras"
    fresh = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=fresh
    )
    assert done.returncode == 1
    assert "tensorflow was imported with Keras 3 before components.ranking.keras" in done.stderr
