"""Several processes that train one model: each takes a share of every step's documents.

The gradient of a step is the sum over all of its documents, whoever computed it, so that a group
learns what one process would at the same `batch`, but for the order of float sums and the draws of
dropout, which each process makes for itself.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from components.encoder.errors import EncoderError

Loss = Callable[[Any, Sequence[Any]], Tensor]


class Group:
    """The processes of a run; this class itself is a group of one, and does nothing.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank = 0
    size = 1

    def wrap(self, module: nn.Module, loss: Loss) -> Loss:
        """Return the function that computes a loss whose gradient is summed over the group."""
        return loss

    def without_exchange(self) -> AbstractContextManager:
        """Keep gradients to oneself: more of this step is to come."""
        return contextlib.nullcontext()

    def total(self, values: Tensor) -> Tensor:
        """Sum over the group; the same on every process."""
        return values

    def highest(self, *values: float) -> list[float]:
        """Return each value's maximum over the group."""
        return list(values)

    def gathered(self, value: Any) -> list[Any]:
        """Return every process's value, by rank."""
        return [value]


ALONE = Group()


class Processes(Group):
    """Processes that torchrun started: gradients by NCCL between GPUs, all else by gloo."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._wrapped: nn.parallel.DistributedDataParallel | None = None

    def wrap(self, module: nn.Module, loss: Loss) -> Loss:
        """Return the function that computes a loss whose gradient is summed over the group."""
        # The loss is computed inside forward, where gradients are prepared to be exchanged while
        # others are still computed.
        wrapped = nn.parallel.DistributedDataParallel(
            _Objective(module, loss), gradient_as_bucket_view=True
        )
        self._wrapped = wrapped
        # Gradients are averaged there, and here they have to be summed.
        return lambda batch, step: wrapped(batch, step) * self.size

    def without_exchange(self) -> AbstractContextManager:
        """Keep gradients to oneself: more of this step is to come."""
        assert self._wrapped is not None
        return self._wrapped.no_sync()

    def total(self, values: Tensor) -> Tensor:
        """Sum over the group; the same on every process."""
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    def highest(self, *values: float) -> list[float]:
        """Return each value's maximum over the group."""
        found = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return found.tolist()

    def gathered(self, value: Any) -> list[Any]:
        """Return every process's value, by rank."""
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found


@contextlib.contextmanager
def processes() -> Iterator[Group]:
    """Join the group that torchrun describes in the environment; a group of one without it.

    Raises:
        EncoderError: there are fewer GPUs on this machine than processes.
    """
    if "WORLD_SIZE" not in os.environ:
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise EncoderError(
                f"process {local + 1} of this machine has no GPU of its own: there are {gpus}, "
                "start no more processes"
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend)
    try:
        yield Processes()
    finally:
        dist.destroy_process_group()


class _Objective(nn.Module):
    def __init__(self, module: nn.Module, loss: Loss):
        super().__init__()
        self.module = module
        self._loss = loss

    def forward(self, batch: Any, step: Sequence[Any]) -> Tensor:
        return self._loss(batch, step)
