"""What a killed training run leaves behind for the next one."""

import hashlib
import logging
import shutil
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.extreme.config import SliceConfig
from components.files import whole_file

log = logging.getLogger(__name__)


def fingerprint(x: NDArray[np.float32], y: sp.csr_matrix, config: SliceConfig, seed: int) -> str:
    """Hash everything that a trained model depends on."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{x.shape} {y.shape} {seed} {config.model_dump_json()}".encode())
    for array in (x, y.indptr, y.indices):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Checkpoint:
    """Arrays kept by name in a directory, for one training run only; `None` keeps nothing."""

    def __init__(self, directory: Path | None, of: str):
        """Open a directory; what another run (other data, settings or seed) left is removed."""
        self._directory = directory
        if directory is None:
            return
        owner = directory / "run.txt"
        if owner.exists() and owner.read_text() != of:
            log.warning("checkpoint=%s event=discarded reason=other_data_or_settings", directory)
            shutil.rmtree(directory)
        directory.mkdir(parents=True, exist_ok=True)
        if not owner.exists():
            with whole_file(owner) as aside:
                aside.write_text(of)

    def load(self, name: str) -> NDArray | None:
        """Return what was stored under a name, if anything was."""
        if self._directory is None or not self._path(name).exists():
            return None
        return np.load(self._path(name))

    def store(self, name: str, array: NDArray) -> None:
        """Keep an array, whole or not at all."""
        if self._directory is not None:
            with whole_file(self._path(name)) as aside, aside.open("wb") as out:
                np.save(out, array)

    def _path(self, name: str) -> Path:
        assert self._directory is not None
        return self._directory / f"{name}.npy"
