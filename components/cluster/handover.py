"""What a step gives to a job and takes from it, on the volume that both mount."""

import shutil
from pathlib import Path

from components.cluster.errors import ClusterError
from components.files import whole_directory, whole_file

JOBS = "jobs"


class Handover:
    """A job's folder: its inputs, its outputs and the state that it goes on from.

    It is there for as long as the job may be tried again, and gone when its outputs were taken.

    Args:
        work: where the volume is mounted, in the step and in the job alike.
        job: name of the job.

    Raises:
        ClusterError: the volume is not mounted.
    """

    def __init__(self, work: Path, job: str):
        if not work.is_dir():
            raise ClusterError(
                f"{work}: the volume that steps and jobs share is not mounted in this step"
            )
        self._work = work
        self.folder = work / JOBS / job
        self.checkpoints = self.folder / "checkpoints"

    def give(self, name: str, source: Path) -> Path:
        """Return where the job finds what lies at `source`; copied there unless it can see it."""
        if source.resolve().is_relative_to(self._work.resolve()):
            return source.resolve()
        target = self.folder / "inputs" / name
        if not target.exists():
            with whole_directory(target) as aside:
                shutil.copytree(source, aside, dirs_exist_ok=True)
        return target

    def write(self, name: str, text: str) -> Path:
        """Write a file for the job to read."""
        path = self.folder / name
        with whole_file(path) as aside:
            aside.write_text(text)
        return path

    def output(self, name: str) -> Path:
        """Return where the job is to put an output: whole, or not at all."""
        return self.folder / "outputs" / name

    def take(self, name: str, target: Path) -> None:
        """Move an output of the job to where the step's own is expected.

        Raises:
            ClusterError: there is none.
        """
        source = self.output(name)
        if not source.is_dir():
            raise ClusterError(f"{source}: the job ended without writing it")
        with whole_directory(target) as aside:
            shutil.copytree(source, aside, dirs_exist_ok=True)

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)
