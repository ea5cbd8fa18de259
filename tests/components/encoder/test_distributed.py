"""Pre-training by two processes: what one process learns, stops and goes on with."""

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.encoder.config import PretrainConfig
from components.encoder.distributed import PretrainRequest, run
from components.encoder.errors import EncoderError
from components.encoder.parallel import Group
from components.encoder.pretrain import MaskedLanguageTask, pretrain
from tests.components.encoder.conftest import TINY

ROOT = Path(__file__).parents[3]
WITHOUT_DROPOUT = TINY.model_copy(update={"dropout": 0.0})

# fp32, because bf16 rounds a sum to 8 bits whatever its order.
EXACT = PretrainConfig(
    batch=8, epochs=1, dupe_factor=1, warmup=0.1, precision="fp32", next_sentence=True
)


def request_in(home, corpus, *, encoder=WITHOUT_DROPOUT, config=EXACT):
    home.mkdir(parents=True, exist_ok=True)
    request = PretrainRequest(
        tokens=corpus.tokens,
        vocabulary=corpus.vocabulary,
        target=home / "encoder",
        checkpoints=home / "checkpoints",
        encoder=encoder,
        config=config,
        seed=0,
    )
    (home / "request.json").write_text(request.model_dump_json())
    return request


def together(request, *, stop_at=None):
    """Train in two processes, as torchrun starts them; return their exit codes.

    They are forked, which spares each the seconds that importing takes. The second of them gets a
    SIGTERM in the step `stop_at`.
    """
    port = free_port()
    fork = multiprocessing.get_context("fork")
    group = [fork.Process(target=_member, args=(rank, port, request, stop_at)) for rank in (0, 1)]
    for member in group:
        member.start()
    for member in group:
        member.join(120)
        member.kill()
    return [member.exitcode for member in group]


def _member(rank, port, request, stop_at):
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in places.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    make = MaskedLanguageTask.batch

    def batch(task, step, part):
        if step == stop_at and rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return make(task, step, part)

    MaskedLanguageTask.batch = batch
    run(request)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def losses(home):
    entries = [json.loads(line) for line in (home / "encoder/log.jsonl").open()]
    return [entry[name] for entry in entries for name in ("loss", "validation_loss")]


def weights(home):
    return load_file(home / "encoder/model.safetensors")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_learn_what_one_does(corpus, tmp_path, accumulate):
    config = EXACT.model_copy(update={"accumulate": accumulate})
    run(request_in(tmp_path / "alone", corpus, config=config))
    assert together(request_in(tmp_path / "together", corpus, config=config)) == [0, 0]
    assert len(losses(tmp_path / "alone")) > 10
    assert losses(tmp_path / "together") == pytest.approx(losses(tmp_path / "alone"), rel=1e-5)
    found, expected = weights(tmp_path / "together"), weights(tmp_path / "alone")
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        # A key's bias changes no attention: its gradient is rounding, which AdamW scales up.
        if not name.endswith("key.bias"):
            torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-5, msg=name)


def test_a_stopped_group_ends_with_the_weights_of_one_that_was_not(corpus, tmp_path):
    """Dropout included, which each process draws for itself."""
    whole = request_in(tmp_path / "whole", corpus, encoder=TINY)
    stopped = request_in(tmp_path / "stopped", corpus, encoder=TINY)
    assert together(whole) == [0, 0]
    assert together(stopped, stop_at=5) == [143, 143]
    assert [path.name for path in stopped.checkpoints.iterdir()] == ["checkpoint.pt"]
    assert not stopped.target.exists()
    assert together(stopped) == [0, 0]
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    found, expected = weights(tmp_path / "stopped"), weights(tmp_path / "whole")
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


def test_torchrun_asked_to_stop_has_the_group_write_a_checkpoint(corpus, tmp_path):
    """As when the kubelet stops a pod whose machine is taken away."""
    request = request_in(tmp_path, corpus, config=EXACT.model_copy(update={"epochs": 500.0}))
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"),
        *("--master-addr=127.0.0.1", f"--master-port={free_port()}", "--local-addr=127.0.0.1"),
        *("-m", "components.encoder.distributed", str(tmp_path / "request.json")),
    ]
    own = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    log = tmp_path / "log"
    with log.open("w") as errors:
        running = subprocess.Popen(command, cwd=ROOT, env=os.environ | own, stderr=errors)
        try:
            deadline = time.monotonic() + 240
            while " loss=" not in log.read_text() and time.monotonic() < deadline:
                time.sleep(0.1)
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=60) != 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                running.kill()
    assert "stopped step=" in log.read_text()
    checkpoint = torch.load(request.checkpoints / "checkpoint.pt", weights_only=True)
    assert checkpoint["step"] > 0
    assert len(checkpoint["random"]) == 2
    assert not request.target.exists()


def test_one_process_goes_on_from_the_checkpoint_of_two(corpus, tmp_path):
    run(request_in(tmp_path / "alone", corpus))
    request = request_in(tmp_path / "stopped", corpus)
    assert together(request, stop_at=5) == [143, 143]
    run(request)
    assert losses(tmp_path / "stopped") == pytest.approx(losses(tmp_path / "alone"), rel=1e-5)


def test_a_batch_that_cannot_be_spread_evenly_is_refused_by_name(corpus, tmp_path):
    three = Group()
    three.size = 3
    with pytest.raises(EncoderError, match="pretrain.batch 8 is not a multiple of .* 3 processes"):
        pretrain(
            corpus.tokens,
            corpus.vocabulary,
            tmp_path / "encoder",
            encoder=TINY,
            config=EXACT,
            seed=0,
            checkpoints=tmp_path,
            group=three,
        )
