"""The training loop, on a task of one small layer: schedule, accumulation, stops, resumption."""

import json
import math
import os
import resource
import signal

import pytest
import torch
from torch import nn

from components.encoder import device as device_module
from components.encoder import training
from components.encoder.config import OptimiserConfig
from components.encoder.device import peak_flops, product_dtype
from components.encoder.errors import EncoderError
from components.encoder.training import learning_rate_share, train, write_log

CPU = torch.device("cpu")


class Line:
    """Fit a line through a dropout; batches come from their numbers alone."""

    def __init__(self, steps=12, rows=8, parts=1, on_batch=None, nan_at=None):
        torch.manual_seed(1)
        self.steps, self.rows, self.parts = steps, rows, parts
        self.on_batch, self.nan_at = on_batch, nan_at
        self.module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1))

    def batch(self, step, part):
        if self.on_batch:
            self.on_batch(step)
        return self.rows_of(step, part)

    def rows_of(self, step, part):
        rows = torch.arange(self.rows * self.parts).chunk(self.parts)[part] + 1000 * step
        x = torch.sin(rows[:, None] * torch.arange(1.0, 5.0))
        return x, math.nan if step == self.nan_at else 1.0

    def loss(self, batch, device, *, step):
        x, scale = batch
        error = (self.module(x.to(device)) - x.sum(1, keepdim=True)) ** 2
        return scale * error.mean() / len(step)

    def work(self, batch):
        return len(batch[0]), 1000.0

    def validate(self, device):
        return {"validation_loss": self.loss(self.rows_of(0, 0), device, step=[0]).item()}

    def groups(self):
        return [(list(self.module.parameters()), 0.01)]


def without_dropout(line):
    line.module[1].p = 0.0
    return line


@pytest.fixture(autouse=True)
def _known_peak(monkeypatch):
    monkeypatch.setattr(training, "peak_flops", lambda device: 1e11)


@pytest.fixture
def run(tmp_path):
    def run(task, name="run", identity="same", **config):
        log = train(
            task,
            OptimiserConfig(**{"evaluations": 3, "checkpoint_seconds": 1e9} | config),
            description="fit",
            seed=0,
            checkpoints=tmp_path / name,
            identity=identity,
        )
        return log, {name: tensor.clone() for name, tensor in task.module.state_dict().items()}

    return run


def stop_at(step, number):
    return lambda current: os.kill(os.getpid(), number) if current == step else None


def assert_equal_to_the_bit(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("step", [0, 5, 11])
def test_a_stopped_run_ends_with_the_weights_of_one_that_was_not(run, number, code, step):
    _, expected = run(Line(), "whole")
    with pytest.raises(SystemExit) as stopped:
        run(Line(on_batch=stop_at(step, number)))
    assert stopped.value.code == code
    visited = []
    log, found = run(Line(on_batch=visited.append))
    assert_equal_to_the_bit(found, expected)
    assert visited == list(range(visited[0], 12)) if visited else step == 11
    assert min(visited, default=12) >= max(1, step), "the resumed run started over"
    assert [entry["step"] for entry in log] == list(range(1, 13))


def test_regular_checkpoints_change_nothing(run):
    _, expected = run(Line(), "whole")
    _, found = run(Line(), "often", checkpoint_seconds=0)
    assert_equal_to_the_bit(found, expected)


def test_the_measured_peak_draws_no_random_number():
    before = torch.get_rng_state()
    assert peak_flops(CPU) > 1e8
    assert torch.equal(torch.get_rng_state(), before)


def test_signals_are_handled_as_before_afterwards(run):
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    run(Line())
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_a_checkpoint_of_other_settings_is_not_continued(run, caplog):
    _, expected = run(Line(), "whole")
    with pytest.raises(SystemExit):
        run(Line(on_batch=stop_at(5, signal.SIGTERM)), identity="other")
    _, found = run(Line())
    assert_equal_to_the_bit(found, expected)
    assert "other data or settings" in caplog.text


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-50], lambda c: b"", lambda c: b"not a checkpoint"]
)
def test_a_damaged_checkpoint_is_named(run, tmp_path, damage):
    with pytest.raises(SystemExit):
        run(Line(on_batch=stop_at(5, signal.SIGTERM)))
    path = tmp_path / "run" / "checkpoint.pt"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EncoderError, match=r"checkpoint\.pt: damaged checkpoint .*delete it"):
        run(Line())


def test_a_checkpoint_of_another_model_is_named(run):
    with pytest.raises(SystemExit):
        run(Line(on_batch=stop_at(5, signal.SIGTERM)))
    wider = Line()
    wider.module = nn.Linear(4, 3)
    with pytest.raises(EncoderError, match=r"checkpoint\.pt: damaged checkpoint"):
        run(wider)


def test_a_full_disk_keeps_the_checkpoint_before(run, tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(step):
        if step == 8:
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limit[1]))

    try:
        with pytest.raises(EncoderError, match=r"checkpoint\.pt: checkpoint of step \d+ could not"):
            run(Line(on_batch=fill_the_disk), checkpoint_seconds=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint.pt"]
    _, found = run(Line())
    _, expected = run(Line(), "whole")
    assert_equal_to_the_bit(found, expected)


def test_a_loss_that_is_no_number_says_what_to_change(run):
    with pytest.raises(
        EncoderError, match="fit: the loss became nan at step 5; lower learning_rate"
    ):
        run(Line(nan_at=4))


def test_accumulated_parts_make_the_step_of_the_whole_batch(run):
    _, whole = run(without_dropout(Line(rows=8)), "whole")
    _, parts = run(without_dropout(Line(rows=2, parts=4)), "parts", accumulate=4)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)


def test_the_log_tells_loss_rate_speed_and_validation(run, tmp_path):
    log, _ = run(Line())
    assert [entry["step"] for entry in log] == list(range(1, 13))
    assert [entry["step"] for entry in log if "validation_loss" in entry] == [4, 8, 12]
    assert log[-1]["loss"] < log[0]["loss"]
    assert log[-1]["lr"] == 0
    assert all(entry["tokens_per_second"] > 0 and entry["mfu"] > 0 for entry in log)
    written = write_log(log, tmp_path / "new" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in written] == log


def test_a_long_run_logs_a_bounded_number_of_steps(run, monkeypatch):
    monkeypatch.setattr(training, "LOG_ENTRIES", 5)
    log, _ = run(Line(steps=50), evaluations=1)
    assert [entry["step"] for entry in log] == [10, 20, 30, 40, 50]


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 1 / 21), (9, 10 / 21), (19, 20 / 21), (20, 1), (60, 0.5), (99, 1 / 80), (100, 0)],
)
def test_the_rate_rises_over_the_warm_up_and_falls_to_zero(step, share):
    assert learning_rate_share(step, 100, 0.2) == pytest.approx(share)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 1.0), (3, 0.2), (100, 0.0), (100, 1)])
def test_the_rate_is_positive_while_training(steps, warmup):
    shares = [learning_rate_share(step, steps, warmup) for step in range(steps)]
    assert all(0 < share <= 1 for share in shares)


@pytest.mark.parametrize(
    ("device", "capability", "precision", "dtype"),
    [
        ("cuda", (7, 0), "auto", torch.float16),
        ("cuda", (7, 0), "fp32", torch.float32),
        ("cuda", (7, 0), "bf16", None),
        ("cuda", (8, 0), "auto", torch.bfloat16),
        ("cuda", (8, 0), "fp16", torch.float16),
        ("cuda", (9, 0), "auto", torch.bfloat16),
        ("cpu", True, "auto", torch.bfloat16),
        ("cpu", True, "fp16", None),
        ("cpu", False, "auto", torch.float32),
        ("cpu", False, "bf16", None),
    ],
)
def test_precision_follows_the_device(monkeypatch, device, capability, precision, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: capability)
    if dtype is None:
        with pytest.raises(EncoderError, match=f"precision {precision}: .* use auto"):
            product_dtype(torch.device(device), precision)
    else:
        assert product_dtype(torch.device(device), precision) == dtype


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [("Tesla V100-SXM2-16GB", 125), ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA H100 80GB HBM3", 989)],
)
def test_published_peaks_are_found_by_name(monkeypatch, name, teraflops):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    assert peak_flops(torch.device("cuda")) == teraflops * 1e12


def test_without_a_gpu_the_cpu_computes(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_module.pick_device() == CPU
