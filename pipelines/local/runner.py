"""Run a compiled pipeline on this machine with `kfp.local`: quiet, measured, resumable.

A step is skipped when an earlier start of the same run finished it, its outputs are as it left
them, and nothing that it is given has changed: its own code, its parameters (so its section of the
recipe) and the executions that made its inputs. A step that fails is not tried again here, whatever
its retry policy: that policy is for machines that come and go, and a person with `--resume` is
better served at once.
"""

import contextlib
import functools
import io
import shutil
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from kfp import local
from kfp.local import (
    executor_input_utils,
    pipeline_orchestrator,
    status,
    subprocess_task_handler,
)
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec
from rich.console import Console

from components.errors import IntentError
from pipelines.local.display import Display, open_display
from pipelines.local.ledger import Finished, Ledger, measure
from pipelines.local.runs import Run, shown, sole_worker
from pipelines.local.step import Step, execute

SCRATCH = ".scratch"


class StepFailed(IntentError):
    """A step ended in an error."""


class RunStopped(KeyboardInterrupt):
    """The user stopped the run; the message says where."""


@dataclass
class Summary:
    """What a start of a run did.

    Args:
        finished: the run's steps in the order they came, those kept included.
        kept: names of the steps that were skipped.
    """

    finished: list[Finished] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """Wall time of the steps that ran."""
        return sum(step.seconds for step in self.finished if step.step not in self.kept)

    @property
    def peak(self) -> Finished:
        """The step that took the most memory."""
        return max(self.finished, key=lambda step: step.peak_bytes)


def run_pipeline(
    pipeline: PipelineSpec, arguments: dict[str, Any], *, run: Run, console: Console
) -> Summary:
    """Run every step of a pipeline that `run` has not finished yet.

    Args:
        pipeline: the compiled pipeline; a step's directory is named after its display name.
        arguments: the pipeline's parameters.
        run: where to run; `run.path` takes a directory for each step, `steps.json` and `log.txt`.
        console: where to show progress.

    Raises:
        StepFailed: with the step's name, what went wrong and where the log is.
        RunStopped: on Ctrl-C or SIGTERM, after the running step has stopped.
    """
    # A console follows sys.stdout, which goes to the log below, unless it is told to stay.
    console.file = console.file
    pipeline = _with_steps_named_after_tasks(pipeline)
    steps = len(pipeline.root.dag.tasks)
    with (
        sole_worker(run) as lock,
        run.log.open("a", buffering=1) as log,
        open_display(console, steps) as display,
        _termination_as_interrupt(),
    ):
        work = _Work(run, Ledger(run.path / "steps.json"), display, log, lock)
        try:
            with _kfp_hooks(run, work), _into(log):
                pipeline_orchestrator.run_local_pipeline(pipeline, arguments)
        except KeyboardInterrupt:
            raise RunStopped(
                f"stopped in step {work.current}" if work.current else "stopped"
            ) from None
        finally:
            shutil.rmtree(run.path / SCRATCH, ignore_errors=True)
    return work.summary


class _Work:
    """The steps of one start of a run, one after the other."""

    def __init__(self, run: Run, ledger: Ledger, display: Display, log: io.TextIOBase, lock: int):
        self.summary, self.current = Summary(), ""
        self._run, self._ledger, self._display = run, ledger, display
        self._log, self._lock = log, lock

    def do(self, step: Step) -> None:
        self.current = step.name
        fingerprint = step.fingerprint(self._ledger)
        kept = self._is_done(step, fingerprint)
        if kept:
            self.summary.kept.add(step.name)
        else:
            self._execute(step, fingerprint)
        finished = self._ledger[step.name]
        self.summary.finished.append(finished)
        self._display.finished(
            step.name, seconds=finished.seconds, peak_bytes=finished.peak_bytes, kept=kept
        )

    def _is_done(self, step: Step, fingerprint: str) -> bool:
        if step.name not in self._ledger or not step.result.is_file():
            return False
        finished = self._ledger[step.name]
        return finished.fingerprint == fingerprint and finished.outputs == _measure(step)

    def _execute(self, step: Step, fingerprint: str) -> None:
        self._ledger.forget(step.name)
        self._display.started(step.name)
        shutil.rmtree(step.directory, ignore_errors=True)
        scratch = self._run.path / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        ending = execute(
            step,
            scratch=scratch,
            log=self._log.fileno(),
            lock=self._lock,
            report=self._display.working,
        )
        if ending.error is not None:
            raise StepFailed(f"step {step.name}: {ending.error}\nlog: {shown(self._run.log)}")
        self._ledger.add(
            Finished(
                step=step.name,
                fingerprint=fingerprint,
                stamp=datetime.now(UTC).isoformat(),
                seconds=round(ending.seconds, 3),
                peak_bytes=ending.peak_bytes,
                outputs=_measure(step),
            )
        )


class _StepHandler(subprocess_task_handler.SubprocessTaskHandler):
    """Takes the place of kfp's handler of subprocesses."""

    def __init__(self, *args: Any, work: _Work, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._work = work

    def run(self) -> status.Status:
        self._work.do(Step.from_command(self.full_command))
        return status.Status.SUCCESS

    def validate_image(self, image: str) -> None:
        """Accept our image: the package that it holds is the one running here."""


@contextlib.contextmanager
def _kfp_hooks(run: Run, work: _Work) -> Iterator[None]:
    """Point `kfp.local` at the run's directory and at our handler of steps, for a while.

    kfp 2.17 offers no setting for either, so two attributes that it looks up at each call are
    replaced: the handler class, and the function that would name the directory after the time.
    """
    handler = functools.partial(_StepHandler, work=work)
    replaced = [
        (subprocess_task_handler, "SubprocessTaskHandler", handler),
        (executor_input_utils, "get_local_pipeline_resource_name", lambda name: run.path.name),
        (local.config.LocalExecutionConfig, "instance", None),
    ]
    originals = [getattr(owner, name) for owner, name, _ in replaced]
    for owner, name, value in replaced:
        setattr(owner, name, value)
    try:
        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(run.path.parent),
            workspace_root=str(run.path / SCRATCH / "workspace"),
        )
        yield
    finally:
        for (owner, name, _), original in zip(replaced, originals, strict=True):
            setattr(owner, name, original)


@contextlib.contextmanager
def _into(log: io.TextIOBase) -> Iterator[None]:
    """Send what kfp prints to the log; it warns only of settings that mean nothing here."""
    with (
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _with_steps_named_after_tasks(pipeline: PipelineSpec) -> PipelineSpec:
    """Give each task a component of its own, named as the task is displayed.

    kfp names a step's directory after its component, and the second use of one `slice-2`.
    """
    renamed = PipelineSpec()
    renamed.CopyFrom(pipeline)
    renamed.components.clear()
    for task in renamed.root.dag.tasks.values():
        name = f"comp-{task.task_info.name}"
        if name in renamed.components:
            raise ValueError(f"two steps are displayed as {task.task_info.name!r}")
        renamed.components[name].CopyFrom(pipeline.components[task.component_ref.name])
        task.component_ref.name = name
    return renamed


def _measure(step: Step) -> dict[str, list[int]]:
    return {name: measure(path) for name, path in step.outputs.items()}
