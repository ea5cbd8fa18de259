"""Run directories: where a run keeps its steps, how it is found again, and who may work in it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from components.errors import IntentError
from components.files import whole_file

ROOT = Path("runs")
LATEST = "latest"
STORE, REGISTRY, EXPERIMENTS, SERVE = "store", "registry", "experiments", "serve"
MODELS = "models"
"""What the runs below one root share."""

DESCRIPTION = "run.json"


class RunError(IntentError):
    """A run that cannot be started, found or continued."""


@dataclass(frozen=True)
class Run:
    """One run of a recipe.

    Args:
        path: the run's directory, absolute.
        name: the recipe's name.
        recipe: what the recipe was loaded from: a name, a path or YAML text.
        overrides: dotted recipe keys set beside it.
        started: moment of the first start, ISO 8601, UTC.
        finished: whether every step is done.
    """

    path: Path
    name: str
    recipe: str
    overrides: dict[str, str]
    started: str
    finished: bool = False

    @property
    def log(self) -> Path:
        """What the runner and the steps printed."""
        return self.path / "log.txt"

    @property
    def settings(self) -> Path:
        """The recipe in full, overrides and defaults filled in."""
        return self.path / "recipe.yaml"

    @property
    def checkpoints(self) -> Path:
        """Where long steps keep the state from which they continue."""
        return self.path / "checkpoints"

    def save(self) -> None:
        """Write the description that `find` reads."""
        about = {name: value for name, value in asdict(self).items() if name != "path"}
        with whole_file(self.path / DESCRIPTION) as aside:
            aside.write_text(json.dumps(about, indent=1) + "\n")


def create(name: str, recipe: str, overrides: dict[str, str], *, root: Path = ROOT) -> Run:
    """Make the directory of a new run, `<name>-<time>`."""
    now = datetime.now(UTC)
    moment = now.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        path = (root / f"{name}-{moment}{suffix}").resolve()
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        run = Run(path=path, name=name, recipe=recipe, overrides=overrides, started=now.isoformat())
        run.save()
        return run
    raise RunError(f"{path}: too many runs started in the same second")


def find(which: str, *, root: Path = ROOT) -> Run:
    """Find a run by its directory, or by that directory's name below `root` (`latest` is one)."""
    for path in (root / which, Path(which)):
        if (path / DESCRIPTION).is_file():
            return _load(path.resolve())
    known = ", ".join(run.path.name for run in _all(root)) or "none"
    raise RunError(f"no run {which!r} in {root}/ (known: {known})")


def newest_unfinished(name: str, *, root: Path = ROOT) -> Run:
    """Find the run of the recipe `name` that was started last and has steps left."""
    unfinished = [run for run in _all(root) if run.name == name and not run.finished]
    if not unfinished:
        raise RunError(
            f"no unfinished run of recipe {name!r} in {root}/; start one without --resume"
        )
    return unfinished[-1]


def finish(run: Run) -> Run:
    """Mark `run` as finished and point `latest` at it."""
    done = replace(run, finished=True)
    done.save()
    aside = run.path.parent / f".{LATEST}.{os.getpid()}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(run.path.name)
    aside.replace(run.path.parent / LATEST)
    return done


def shown(path: Path) -> str:
    """Write a path as a user would type it: relative where it lies below the working directory."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


@contextmanager
def sole_worker(run: Run) -> Iterator[int]:
    """Hold the run's lock, so that no second runner works in the same directory.

    Yields:
        The lock's file descriptor. A step inherits it, so the run stays locked while a step that
        outlived its runner is still writing.
    """
    with (run.path / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RunError(
                f"{run.path}: process {lock.read().strip() or '?'} is working on this run; "
                "wait for it or stop it"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield lock.fileno()


def _all(root: Path) -> list[Run]:
    descriptions = root.glob(f"*/{DESCRIPTION}") if root.is_dir() else ()
    paths = {description.parent.resolve() for description in descriptions}
    return sorted((_load(path) for path in paths), key=lambda run: run.started)


def _load(path: Path) -> Run:
    description = path / DESCRIPTION
    try:
        return Run(path=path, **json.loads(description.read_text()))
    except (ValueError, TypeError) as error:
        raise RunError(f"{description}: not a run's description: {error}") from error
