"""The one training loop: schedule, accumulation, precision, evaluation, log, exact resume."""

import contextlib
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from components.encoder.config import OptimiserConfig
from components.encoder.device import autocast, peak_flops, pick_device, product_dtype
from components.encoder.errors import EncoderError
from components.encoder.model import Layer
from components.encoder.parallel import ALONE, Group
from components.files import whole_file
from components.progress import progress
from components.stopping import stop_signal

LOG_ENTRIES = 400

logger = logging.getLogger(__name__)


class Task(Protocol):
    """What is learnt: a module, its batches and its loss."""

    steps: int

    @property
    def module(self) -> nn.Module:
        """Everything that is learnt."""

    def batch(self, step: int, part: int) -> Any:
        """Return the `part`-th forward pass's share of a step's documents; pure, on the host."""

    def loss(self, batch: Any, device: torch.device, *, step: Sequence[Any]) -> Tensor:
        """Return a batch's part of its step's mean loss; the parts add up to it."""

    def work(self, batch: Any) -> tuple[int, float]:
        """Return a batch's tokens and the floating-point operations that training on it takes."""

    def validate(self, device: torch.device) -> dict[str, float]:
        """Return validation figures; `validation_loss` among them."""

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return parameters with their peak learning rates."""


def train(
    task: Task,
    config: OptimiserConfig,
    *,
    description: str,
    seed: int,
    checkpoints: Path,
    identity: str,
    group: Group = ALONE,
) -> list[dict]:
    """Train a task to its last step, resuming from a checkpoint of the same identity.

    A checkpoint holds everything (weights, optimiser, random state, log), so that a run that was
    killed and resumed ends with the weights of one that was not. SIGTERM and Ctrl-C write one and
    leave with 128 + the signal's number, which schedulers take as a wish to be restarted.

    Args:
        task: what is learnt; its module is trained in place and left on the CPU.
        config: how.
        description: shown with the progress.
        seed: of dropout; batches carry their own.
        checkpoints: directory for the checkpoint; emptied on success by the caller's choice.
        identity: of data and settings; a checkpoint of another identity is not continued.
        group: processes that train together, each with a task that gives it its own share of every
            step. They stop and save together; the first one writes, all read, so `checkpoints` has
            to be on a volume that they share. A group of another size may go on from it, then with
            other draws of dropout.

    Returns:
        The log: one entry per logged step, with loss, learning rate, tokens per second, the share
        of the device's arithmetic peak (MFU) and, where taken, validation figures.

    Raises:
        EncoderError: a checkpoint that is damaged or cannot be written, or a loss that is no longer
            a number.
    """
    device = pick_device()
    dtype = product_dtype(device, config.precision)
    module = task.module.to(device).train()
    if config.compile == "on" or (config.compile == "auto" and device.type == "cuda"):
        _compile(module)
    optimiser = _optimiser(task, config, device)
    # Gradients are exchanged once the module is where it is trained.
    loss_of = group.wrap(module, lambda batch, step: task.loss(batch, device, step=step))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: learning_rate_share(step, task.steps, config.warmup)
    )
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    state = _State(module, optimiser, schedule, scaler, group)
    path = checkpoints / "checkpoint.pt"
    torch.manual_seed(seed + group.rank)
    step, log = state.restore(path, identity) if path.exists() else (0, [])
    if len(set(group.gathered(step))) > 1:
        raise EncoderError(
            f"{path}: not the same for all processes; it has to be on a shared volume"
        )
    meter = _Meter(peak_flops(device), group)
    every = max(1, task.steps // LOG_ENTRIES)
    evaluate_every = max(1, math.ceil(task.steps / config.evaluations))
    saved = time.monotonic()
    with (
        progress(description, total=task.steps, done=step) as bar,
        stop_signal() as stopped,
    ):
        for batches in _prefetch(task, step, config.accumulate):
            loss = _step(task, loss_of, batches, device, dtype, optimiser, scaler, config, group)
            schedule.step()
            step += 1
            meter.count(task, batches)
            last = step == task.steps
            if step % every == 0 or last or step % evaluate_every == 0:
                entry = {"step": step, "loss": loss.item(), "lr": schedule.get_last_lr()[0]}
                if not math.isfinite(entry["loss"]):
                    raise EncoderError(
                        f"{description}: the loss became {entry['loss']} at step {step}; "
                        f"lower learning_rate (now {config.learning_rate}) or raise warmup"
                    )
                entry |= meter.figures()
                if step % evaluate_every == 0 or last:
                    entry |= _validate(task, device, dtype)
                    meter.restart()
                log.append(entry)
                if group.rank == 0:
                    logger.info(" ".join(f"{name}={value:.6g}" for name, value in entry.items()))
            bar.advance(loss=log[-1]["loss"] if log else loss.item(), **meter.speed())
            overdue = time.monotonic() - saved > config.checkpoint_seconds
            number, due = map(int, group.highest(stopped.signal, overdue))
            if number or (due and not last):
                state.save(path, identity, step, log)
                saved = time.monotonic()
            if number:
                logger.info("stopped step=%d checkpoint=%s", step, path)
                raise SystemExit(128 + number)
    module.to("cpu").eval()
    return log


def learning_rate_share(step: int, steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate: a linear rise, then a linear fall to 0."""
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return max(0.0, (steps - step) / max(1.0, steps - rise))


def write_log(log: list[dict], path: Path) -> Path:
    """Write log entries as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in log))
    return path


def _compile(module: nn.Module) -> None:
    # Attention depends on the documents' lengths, which change with every batch; what lies between
    # two attentions does not, and is where fusing pays.
    for part in module.modules():
        if isinstance(part, Layer):
            part.mix = torch.compile(part.mix, dynamic=True)  # type: ignore[method-assign]


def _optimiser(task: Task, config: OptimiserConfig, device: torch.device) -> torch.optim.Optimizer:
    groups = []
    for parameters, rate in task.groups():
        for decays in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) == decays]
            decay = config.weight_decay if decays else 0.0
            groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, fused=True)


def _step(task, loss_of, batches, device, dtype, optimiser, scaler, config, group) -> Tensor:
    optimiser.zero_grad(set_to_none=True)
    total = torch.zeros((), device=device)
    for number, batch in enumerate(batches, 1):
        last = number == len(batches)
        with contextlib.nullcontext() if last else group.without_exchange():
            with autocast(device, dtype):
                loss = loss_of(batch, batches)
            scaler.scale(loss).backward()
        total += loss.detach()
    total = group.total(total) / group.size
    scaler.unscale_(optimiser)
    nn.utils.clip_grad_norm_(task.module.parameters(), config.gradient_norm)
    scaler.step(optimiser)
    scaler.update()
    return total


def _validate(task: Task, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    task.module.eval()
    with torch.no_grad(), autocast(device, dtype):
        figures = task.validate(device)
    task.module.train()
    return figures


def _prefetch(task: Task, first: int, parts: int) -> Iterator[list]:
    """Yield every step's batches, made by a thread while the step before is computed."""

    def make(step: int) -> list:
        return [task.batch(step, part) for part in range(parts)]

    with ThreadPoolExecutor(max_workers=1) as thread:
        ahead = thread.submit(make, first) if first < task.steps else None
        for step in range(first, task.steps):
            assert ahead is not None
            batches = ahead.result()
            if step + 1 < task.steps:
                ahead = thread.submit(make, step + 1)
            yield batches


class _State:
    def __init__(self, module, optimiser, schedule, scaler, group):
        self._group: Group = group
        self._parts = {
            "module": module,
            "optimiser": optimiser,
            "schedule": schedule,
            "scaler": scaler,
        }

    def save(self, path: Path, identity: str, step: int, log: list[dict]) -> None:
        random = self._group.gathered(_random_state())
        if self._group.rank == 0:
            self._write(path, {"identity": identity, "step": step, "log": log, "random": random})
        self._group.gathered(None)  # nobody leaves, and is restarted, before it is written

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        step = content["step"]
        content |= {name: part.state_dict() for name, part in self._parts.items()}
        try:
            with whole_file(path) as aside:
                torch.save(content, aside)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            raise EncoderError(
                f"{path}: checkpoint of step {step} could not be written, is the disk full? "
                f"The one before is kept ({error})"
            ) from error

    def restore(self, path: Path, identity: str) -> tuple[int, list[dict]]:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content["identity"] != identity:
                logger.warning("checkpoint=%s is of other data or settings, starting over", path)
                return 0, []
            for name, part in self._parts.items():
                part.load_state_dict(content[name])
            if len(content["random"]) == self._group.size:
                _set_random_state(content["random"][self._group.rank])
        except Exception as error:
            raise EncoderError(
                f"{path}: damaged checkpoint ({type(error).__name__}); delete it to start over"
            ) from error
        logger.info("resumed step=%d checkpoint=%s", content["step"], path)
        return content["step"], content["log"]


def _random_state() -> dict[str, Any]:
    gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "gpu": gpu}


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["gpu"]:
        torch.cuda.set_rng_state_all(state["gpu"])


class _Meter:
    """Tokens per second of the whole group and MFU of its devices since the last restart."""

    def __init__(self, peak: float, group: Group):
        self._peak, self._group = peak, group
        self.restart()

    def restart(self) -> None:
        self._start, self._tokens, self._flops = time.monotonic(), 0, 0.0

    def count(self, task: Task, batches: list) -> None:
        for batch in batches:
            tokens, flops = task.work(batch)
            self._tokens += tokens
            self._flops += flops

    def speed(self) -> dict[str, float]:
        seconds = max(1e-9, time.monotonic() - self._start)
        return {"tokens/s": self._tokens / seconds}

    def figures(self) -> dict[str, float]:
        seconds = max(1e-9, time.monotonic() - self._start)
        own = torch.tensor([self._tokens, self._flops / self._peak], dtype=torch.float64)
        tokens, utilised = self._group.total(own).tolist()
        return {
            "tokens_per_second": tokens / seconds,
            "mfu": utilised / seconds / self._group.size,
        }
