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
from pathlib import Path
from types import FrameType
from typing import Any

from kfp import local
from kfp.local import (
    executor_input_utils,
    pipeline_orchestrator,
    status,
    subprocess_task_handler,
)
from kfp.local.orchestrator import enhanced_dag_orchestrator
from kfp.pipeline_spec.pipeline_spec_pb2 import DagSpec, PipelineSpec
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
    steps = sum(len(dag.tasks) - len(_loops(pipeline, dag)) for dag in _dags(pipeline))
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

    @property
    def path(self) -> Path:
        return self._run.path

    def turns(self, count: int) -> None:
        """Take note of how often a loop's step is done; one turn was counted already."""
        self._display.more(count - 1)

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
        self._work.do(Step.from_command(self.full_command, self._work.path))
        return status.Status.SUCCESS

    def validate_image(self, image: str) -> None:
        """Accept our image: the package that it holds is the one running here."""


@contextlib.contextmanager
def _kfp_hooks(run: Run, work: _Work) -> Iterator[None]:
    """Point `kfp.local` at the run's directory and at our handler of steps, for a while.

    kfp 2.17 offers no setting for any of this, so attributes that it looks up at each call are
    replaced: the handler class, the function that would name the directory after the time, and the
    one that would run a loop's turns in threads, where neither an error nor Ctrl-C gets out.
    """
    handler = functools.partial(_StepHandler, work=work)

    def one_after_the_other(self: Any, tasks: list, **context: Any) -> tuple[dict, status.Status]:
        context.pop("parallelism_limit", None)
        work.turns(len(tasks))
        outputs = {}
        for name, task in tasks:
            outputs[name], ending = enhanced_dag_orchestrator.execute_task(
                task_name=name, task_spec=task, **context
            )
            if ending is not status.Status.SUCCESS:
                return {}, ending
        return outputs, status.Status.SUCCESS

    loops = enhanced_dag_orchestrator.ParallelExecutor
    replaced = [
        (loops, "execute_parallel_tasks", one_after_the_other),
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
    named: set[str] = set()
    for dag in _dags(renamed):
        loops = _loops(renamed, dag)
        for task in dag.tasks.values():
            if task.component_ref.name in loops:
                continue
            name = f"comp-{task.task_info.name}"
            if name in named:
                raise ValueError(f"two steps are displayed as {task.task_info.name!r}")
            named.add(name)
            renamed.components[name].CopyFrom(pipeline.components[task.component_ref.name])
            task.component_ref.name = name
    return renamed


def _dags(pipeline: PipelineSpec) -> list[DagSpec]:
    """Give the pipeline's graph and those of its loops."""
    nested = [part.dag for part in pipeline.components.values() if part.HasField("dag")]
    return [pipeline.root.dag, *nested]


def _loops(pipeline: PipelineSpec, dag: DagSpec) -> set[str]:
    """Name the components of a graph's tasks that are graphs themselves."""
    used = {task.component_ref.name for task in dag.tasks.values()}
    return {name for name in used if pipeline.components[name].HasField("dag")}


def _measure(step: Step) -> dict[str, list[int]]:
    return {name: measure(path) for name, path in step.outputs.items()}
