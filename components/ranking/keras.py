"""TensorFlow Ranking beside today's TensorFlow: import `tf` and `tfr` from here, nowhere else.

tensorflow-ranking 0.5.5 was published for TensorFlow 2.15 and Keras 2. Two things changed since:

- TensorFlow 2.16 made Keras 3 its `tf.keras`. With TF_USE_LEGACY_KERAS=1, read when tensorflow is
  imported, it is Keras 2 (the package tf-keras) again.
- TensorFlow 2.16 dropped `tf.estimator`, whose `ModeKeys` tensorflow-ranking names in default
  arguments. A module with only those three strings stands in; the estimators themselves are gone.

With both, losses, metrics, parsing and exported models equal TensorFlow 2.15's to 4 decimals.
An exported model needs neither this module nor tensorflow-ranking to be served.
"""

import os
from types import ModuleType

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # or every process prints how it was compiled

import tensorflow as tf

if not tf.keras.layers.Layer.__module__.startswith("tf_keras"):
    raise ImportError(
        "tensorflow was imported with Keras 3 before components.ranking.keras: "
        "import that first, or set TF_USE_LEGACY_KERAS=1"
    )


class ModeKeys:
    """What is left of `tf.estimator`."""

    TRAIN, EVAL, PREDICT = "train", "eval", "infer"


def _lend_estimator(*packages: ModuleType) -> None:
    for package in packages:
        estimator = ModuleType("estimator")
        estimator.__dict__["ModeKeys"] = ModeKeys
        package.__dict__["estimator"] = estimator


_lend_estimator(tf, tf.compat.v1, tf.compat.v2)

import tensorflow_ranking as tfr  # noqa: E402

__all__ = ["tf", "tfr"]
