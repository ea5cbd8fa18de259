"""Named arrays in one directory, mapped into memory when they are read."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.features.counting import Runs
from components.features.errors import FeaturesError
from components.features.index import TextIndex
from components.features.terms import TermSets


class Arrays:
    """Arrays by name, and the groups of them that belong together."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._loaded: dict[str, NDArray] = {}

    def __getitem__(self, name: str) -> NDArray:
        """Return an array.

        Raises:
            FeaturesError: its file is missing or damaged; names it.
        """
        if name not in self._loaded:
            path = self._directory / f"{name}.npy"
            try:
                self._loaded[name] = np.asarray(np.load(path, mmap_mode="r"))
            except (OSError, ValueError, EOFError) as error:
                raise FeaturesError(f"{path}: missing or damaged: {error}") from error
        return self._loaded[name]

    def runs(self, name: str) -> Runs:
        """Return counts by code that `write` wrote."""
        return Runs(*(self[f"{name}.{field}"] for field in Runs._fields))

    def sets(self, name: str) -> TermSets:
        """Return sets of terms that `write` wrote."""
        return TermSets(*(self[f"{name}.{field}"] for field in TermSets._fields))

    def index(self, name: str) -> TextIndex:
        """Return an index of texts that `write` wrote."""
        return TextIndex(*(self[f"{name}.{field}"] for field in TextIndex._fields))


def write(directory: Path, name: str, value: NDArray | Runs | TermSets | TextIndex) -> None:
    """Write an array, or the arrays of a group, under a name."""
    if isinstance(value, np.ndarray):
        np.save(directory / f"{name}.npy", value)
        return
    for field, array in value._asdict().items():
        np.save(directory / f"{name}.{field}.npy", array)
