"""Stopping and going on: what a killed training run leaves for the next one."""

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.files import whole_file
from components.ranking.errors import RankingError

FILE = "checkpoint.npz"
ARRAYS = ("weights", "average", "best")

logger = logging.getLogger(__name__)


class Progress(NamedTuple):
    """Where a run stands.

    Attributes:
        step: steps done.
        log: entries so far.
        losses: of the steps since the last entry.
        weights: of the model and its optimiser.
        average: running average of the model's weights; none where there is no averaging.
        best: weights of the model where validation was best; none before the first evaluation.
        best_entry: log entry of that moment.
    """

    step: int
    log: list[dict]
    losses: list[float]
    weights: list[NDArray]
    average: list[NDArray]
    best: list[NDArray]
    best_entry: dict


def identity(facts: Sequence[object], files: Sequence[Path]) -> str:
    """Hash what a run depends on, so that a checkpoint of another run is not continued."""
    digest = hashlib.blake2b(repr(facts).encode(), digest_size=16)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def save(directory: Path, progress: Progress, of: str) -> None:
    """Write a checkpoint, all or nothing.

    Raises:
        RankingError: it cannot be written; the one before is kept.
    """
    about = {"identity": of}
    arrays: dict[str, NDArray] = {}
    for name, value in progress._asdict().items():
        if name in ARRAYS:
            arrays |= {f"{name}_{number}": array for number, array in enumerate(value)}
        else:
            about[name] = value
    try:
        with whole_file(directory / FILE) as aside, aside.open("wb") as out:
            np.savez(out, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise RankingError(
            f"{directory / FILE}: checkpoint of step {progress.step} could not be written, is the "
            f"disk full? The one before is kept ({error})"
        ) from error


def restore(directory: Path, of: str) -> Progress | None:
    """Read the checkpoint of this very run, if there is one.

    Raises:
        RankingError: it is damaged; names it.
    """
    path = directory / FILE
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes())) as content:
            about = json.loads(str(content["about"]))
            if about.pop("identity") != of:
                logger.warning("checkpoint=%s is of other data or settings, starting over", path)
                return None
            about |= {name: _numbered(content, name) for name in ARRAYS}
        progress = Progress(**about)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RankingError(
            f"{path}: damaged checkpoint ({type(error).__name__}); delete it to start over"
        ) from error
    logger.info("resumed step=%d checkpoint=%s", progress.step, path)
    return progress


def _numbered(content: Any, name: str) -> list[NDArray]:
    count = sum(key.startswith(f"{name}_") for key in content.files)
    return [content[f"{name}_{number}"] for number in range(count)]
