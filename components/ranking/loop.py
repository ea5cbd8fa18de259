"""The loop of every training in TensorFlow: the best weights by a figure, exact resume."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.progress import progress
from components.ranking import checkpoint
from components.ranking.checkpoint import Progress
from components.stopping import stop_signal

AVERAGE_EVERY = 5  # steps; reading the weights is not free

logger = logging.getLogger(__name__)


class Schedule(NamedTuple):
    """When a training evaluates, keeps its state and ends.

    Attributes:
        name: of what is trained, beside its progress.
        figure: of an evaluation, by which weights are kept; higher is better.
        steps: at most.
        evaluate_every: steps between two evaluations.
        patience: evaluations without a better figure after which training ends.
        checkpoint_every: steps between two checkpoints.
        averaging: share of the running average of the weights that every fifth step keeps; 0 keeps
            the weights of one step.
        together: whether several processes hold the weights.
    """

    name: str
    figure: str
    steps: int
    evaluate_every: int
    patience: int
    checkpoint_every: int
    averaging: float = 0.0
    together: bool = False


class Loop(ABC):
    """A model that is trained step by step, kept at its best, and taken up again when killed."""

    schedule: Schedule
    is_chief = True
    """Whether this process is the one that writes."""

    @abstractmethod
    def steps(self, first: int) -> Iterator[float]:
        """Take one step after the other, from `first` to the last; yield each one's loss."""

    @abstractmethod
    def evaluate(self, step: int, losses: list[float], weights: list[NDArray]) -> dict:
        """Return the log entry of a step: at least `step`; the figure where it can be taken."""

    @abstractmethod
    def variables(self) -> list[Any]:
        """Return the model's variables."""

    @abstractmethod
    def optimiser_variables(self) -> list[Any]:
        """Return what the optimiser keeps between steps."""

    def run(self, checkpoints: Path | None, of: str) -> Progress:
        """Train to the end, from a checkpoint of the identity `of` where there is one.

        SIGTERM and Ctrl-C write a checkpoint and leave with 128 + the signal's number.
        """
        schedule = self.schedule
        state = checkpoint.restore(checkpoints, of) if checkpoints else None
        if state is None:
            state = Progress(0, [], [], [], [], [], {})
        else:
            self._assign(state.weights)
        losses = iter(()) if self._is_over(state) else self.steps(state.step)
        bar_of = progress(schedule.name, total=schedule.steps, done=state.step)
        with bar_of as bar, stop_signal() as stop:
            for loss in losses:
                state = self._after_step(state, loss)
                figures = state.log[-1] if state.log else {}
                bar.advance(loss=loss, **{k: figures[k] for k in figures if k == schedule.figure})
                over = self._is_over(state)
                due = state.step % schedule.checkpoint_every == 0 and not over
                # Weights that several processes hold are read by all of them at once or by none.
                if checkpoints and (due or (stop.signal and not schedule.together)):
                    held = state._replace(weights=self.weights())
                    if self.is_chief:
                        checkpoint.save(checkpoints, held, of)
                if stop.signal:
                    logger.info("stopped step=%d checkpoints=%s", state.step, checkpoints)
                    raise SystemExit(128 + stop.signal)
                if over:
                    break
        return state

    def weights(self) -> list[NDArray]:
        """Return everything that a checkpoint holds of the model and its optimiser."""
        return _values([*self.variables(), *self.optimiser_variables()])

    def _after_step(self, state: Progress, loss: float) -> Progress:
        schedule = self.schedule
        step, average, losses = state.step + 1, state.average, [*state.losses, loss]
        if schedule.averaging and step % AVERAGE_EVERY == 0:
            average = _averaged(average, _values(self.variables()), schedule.averaging)
        state = state._replace(step=step, average=average, losses=losses)
        if step % schedule.evaluate_every and step != schedule.steps:
            return state
        weights = average or _values(self.variables())
        entry, figure = self.evaluate(step, losses, weights), schedule.figure
        state = state._replace(log=[*state.log, entry], losses=[])
        if not state.best or entry.get(figure, 0) > state.best_entry.get(figure, -1):
            state = state._replace(best=weights, best_entry=entry)
        return state

    def _is_over(self, state: Progress) -> bool:
        schedule = self.schedule
        if state.step >= schedule.steps:
            return True
        if not state.best:
            return False
        since = state.step - state.best_entry["step"]
        return since >= schedule.patience * schedule.evaluate_every

    def _assign(self, weights: list[NDArray]) -> None:
        variables = [*self.variables(), *self.optimiser_variables()]
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)


def _averaged(average: list[NDArray], weights: list[NDArray], kept: float) -> list[NDArray]:
    if not average:
        return weights
    return [kept * old + (1 - kept) * new for old, new in zip(average, weights, strict=True)]


def _values(variables: list[Any]) -> list[NDArray]:
    return [np.asarray(variable.numpy()) for variable in variables]
