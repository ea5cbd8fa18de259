"""Training by a strategy: over two processes of this machine, and over one device."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from components.ranking.data import TrainingData
from components.ranking.training import Trainer
from tests.components.ranking.conftest import tiny

WORKER = """
import json, os, sys
from pathlib import Path
import numpy as np
from components.ranking import training
from components.ranking.config import RankerConfig

lists, vectors, target, config = sys.argv[1:]
run = training.Trainer.run

def kept(self, *arguments):
    end = run(self, *arguments)
    np.savez(target + ".npz", *self.weights())
    return end

training.Trainer.run = kept
training.train_ranker(
    Path(lists), Path(vectors), Path(target), RankerConfig(**json.loads(config)),
    tower=True, words=None, seed=0, checkpoints=Path(target).with_name("checkpoints"),
)
"""


def test_two_workers_learn_one_model(made, tmp_path):
    config = tiny(
        strategy="multi_worker", steps=12, evaluate_every=6, checkpoint_every=5, dropout=0.1
    )
    workers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    processes = []
    for index in range(2):
        task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        arguments = [made.lists, made.vectors, tmp_path / f"{index}", config.model_dump_json()]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, *map(str, arguments)],
                env=os.environ | {"TF_CONFIG": json.dumps(task)},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-2000:]
    first, second = (np.load(tmp_path / f"{index}.npz") for index in range(2))
    assert len(first.files) == len(second.files) > 30
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
    assert (tmp_path / "0" / "ranker.json").exists(), "the chief writes"
    assert not (tmp_path / "1").exists(), "and he alone"
    assert (tmp_path / "checkpoints" / "checkpoint.npz").exists()


def test_a_strategy_of_one_device_changes_nothing(made):
    losses = {}
    for strategy in ("none", "mirrored"):
        config = tiny(strategy=strategy, steps=4)
        data = TrainingData.open(made.lists, made.vectors, config)
        losses[strategy] = list(Trainer(data, config, tower=True, seed=0).steps(0))
    assert losses["mirrored"] == pytest.approx(losses["none"], rel=1e-4)


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]
