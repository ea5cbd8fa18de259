"""One step as kfp hands it over: what it is given, where it writes, and its process."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.progress import PROGRESS_FILE
from pipelines.local.child import RUNNER
from pipelines.local.ledger import Ledger

KFP_ENTRY = "_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main"
OUR_ENTRY = "_KFP_RUNTIME=true exec python3 -m pipelines.local.child"
SECONDS_BETWEEN_LOOKS = 0.05
SECONDS_TO_STOP = 20.0


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Args:
        command: the shell command that kfp would start.
        given: parameters by name.
        artifacts: paths of input artifacts by name.
        outputs: paths of output artifacts by name.
        directory: the step's directory; where it lies in the run's is the step's name.
        run: the run's directory.
    """

    command: tuple[str, ...]
    given: dict[str, Any]
    artifacts: dict[str, list[Path]]
    outputs: dict[str, Path]
    directory: Path
    run: Path

    @classmethod
    def from_command(cls, command: list[str], run: Path) -> "Step":
        """Read what kfp wrote into the command of a lightweight component."""
        message = json.loads(command[command.index("--executor_input") + 1])
        inputs, outputs = message.get("inputs", {}), message["outputs"]
        return cls(
            command=tuple(command),
            given=inputs.get("parameterValues", {}),
            artifacts=_paths(inputs),
            outputs={name: paths[0] for name, paths in _paths(outputs).items()},
            directory=Path(outputs["outputFile"]).parent,
            run=run,
        )

    @property
    def name(self) -> str:
        """The step's name; that of a step in a loop begins with the turn of the loop."""
        return str(self.directory.relative_to(self.run))

    @property
    def result(self) -> Path:
        """Where kfp's executor writes the values that the step returned."""
        return self.directory / "executor_output.json"

    def fingerprint(self, ledger: Ledger) -> str:
        """Digest the step's own code, its parameters, and the executions that made its inputs."""
        inputs = {
            name: [_origin(path, self.run, ledger) for path in paths]
            for name, paths in self.artifacts.items()
        }
        source = self.command[: self.command.index("--executor_input")]
        text = json.dumps([source, self.given, inputs], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Ending:
    """How a step's process ended.

    Args:
        error: what to tell the user, or None when it succeeded.
        seconds: wall time.
        peak_bytes: largest resident memory of the process.
    """

    error: str | None
    seconds: float
    peak_bytes: int


def execute(
    step: Step, *, scratch: Path, log: int, lock: int, report: Callable[[dict], None]
) -> Ending:
    """Run the step in a process of its own and wait for it.

    The process gets its own group, so that Ctrl-C reaches the runner alone, which then stops the
    group in order.

    Args:
        step: the step to run.
        scratch: an empty directory for temporary files.
        log: file descriptor that takes what the process prints.
        lock: file descriptor that the process inherits.
        report: receives each state of the step's progress bar.
    """
    channel = scratch / "progress.jsonl"
    channel.touch()
    settings = {
        PROGRESS_FILE: str(channel),
        RUNNER: str(os.getpid()),
        "TMPDIR": str(scratch),
        "PYTHONUNBUFFERED": "1",
    }
    begin = time.monotonic()
    process = subprocess.Popen(
        _ours(step.command),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, **settings},
        pass_fds=(lock,),
        start_new_session=True,
    )
    error = None
    try:
        with channel.open() as lines:
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                for state in _new_lines(lines):
                    error = state.get("error", error)
                    if "error" not in state:
                        report(state)
                if pid:
                    break
                time.sleep(SECONDS_BETWEEN_LOOKS)
    except BaseException:
        report({"description": "stopping", "total": 1, "done": 0, "figures": {}})
        _stop(process)
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ending(
        error=None if process.returncode == 0 else error or _reason(process.returncode),
        seconds=time.monotonic() - begin,
        peak_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    )


def _ours(command: tuple[str, ...]) -> list[str]:
    entries = [part for part in command if KFP_ENTRY in part]
    if len(entries) != 1:
        raise RuntimeError(f"kfp no longer starts a component by {KFP_ENTRY!r}: {command[:3]}")
    ours = OUR_ENTRY.replace("python3", f"'{sys.executable}'")
    return [part.replace(KFP_ENTRY, ours) if part is entries[0] else part for part in command]


def _stop(process: subprocess.Popen) -> None:
    """End the step's process group: a request first, so that it can write a last checkpoint."""
    try:
        _signal_group(process, signal.SIGTERM)
        process.wait(SECONDS_TO_STOP)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen, number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _new_lines(lines) -> list[dict]:
    states: list[dict] = []
    while True:
        position = lines.tell()
        line = lines.readline()
        if not line.endswith("\n"):
            lines.seek(position)
            return states
        states.append(json.loads(line))


def _reason(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed by the system, as happens when memory runs out"
    if code < 0:
        return f"ended by signal {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _paths(inputs_or_outputs: dict) -> dict[str, list[Path]]:
    return {
        name: [Path(artifact["uri"]) for artifact in value["artifacts"]]
        for name, value in inputs_or_outputs.get("artifacts", {}).items()
    }


def _origin(path: Path, run: Path, ledger: Ledger) -> list[str]:
    if path.is_relative_to(run):
        producer = str(path.relative_to(run).parent)
        if producer in ledger:
            return [ledger[producer].stamp, path.name]
    return [str(path)]
