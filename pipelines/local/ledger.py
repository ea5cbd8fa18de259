"""Which steps of a run are done, from what, and what they cost: `steps.json`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from components.files import whole_file
from pipelines.local.runs import RunError


@dataclass(frozen=True)
class Finished:
    """A step that came to its end.

    Args:
        step: name of the step and of its directory.
        fingerprint: digest of all that the step was given.
        stamp: differs from one execution to the next; the fingerprints of later steps hold it.
        seconds: wall time.
        peak_bytes: largest resident memory of the step's process.
        outputs: files and bytes below each output, as they were left.
    """

    step: str
    fingerprint: str
    stamp: str
    seconds: float
    peak_bytes: int
    outputs: dict[str, list[int]]


class Ledger:
    """The finished steps of one run, on disk after each step."""

    def __init__(self, path: Path):
        self._path = path
        self._steps = _read(path) if path.exists() else {}

    def __getitem__(self, step: str) -> Finished:
        return self._steps[step]

    def __contains__(self, step: str) -> bool:
        return step in self._steps

    def add(self, finished: Finished) -> None:
        """Note a step as finished."""
        self._steps[finished.step] = finished
        self._write()

    def forget(self, step: str) -> None:
        """Drop a step that is about to run again."""
        if self._steps.pop(step, None):
            self._write()

    def _write(self) -> None:
        steps = [asdict(finished) for finished in self._steps.values()]
        with whole_file(self._path) as aside:
            aside.write_text(json.dumps({"steps": steps}, indent=1) + "\n")


def measure(path: Path) -> list[int]:
    """Count the files at or below `path` and their bytes; [0, 0] when there are none."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return [len(files), sum(file.stat().st_size for file in files)]


def _read(path: Path) -> dict[str, Finished]:
    try:
        rows = json.loads(path.read_text())["steps"]
        return {row["step"]: Finished(**row) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: cannot read it ({error}); remove it to run all steps again"
        ) from error
