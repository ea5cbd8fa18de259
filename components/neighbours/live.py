"""Serving one index after another under the same path."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.neighbours.errors import NeighboursError
from components.neighbours.index import Found, Neighbours
from components.neighbours.manifest import MANIFEST
from components.neighbours.removal import REMOVED


class LiveNeighbours:
    """The index at a path, re-opened when another one is put there.

    A search uses one version from beginning to end. The call that first sees a new version opens
    it. Meanwhile, and if it is damaged or of another encoder, the version before goes on answering.
    """

    def __init__(self, path: Path, *, encoder: str | None = None):
        """Open the index.

        Args:
            path: of the index; `build_index` may replace it at any time.
            encoder: version that the queries' vectors are of.

        Raises:
            NeighboursError: see `Neighbours.open`.
        """
        self._path, self._encoder = path, encoder
        self._opening = threading.Lock()
        self._refused: NeighboursError | None = None
        self._seen = _marks(path)
        self._current = Neighbours.open(path, encoder=encoder)

    @property
    def refused(self) -> NeighboursError | None:
        """Why the newest version is not the one that answers; None when it is."""
        return self._refused

    def current(self) -> Neighbours:
        """Return the newest usable version; keep it for calls that must agree on rows."""
        marks = _marks(self._path)
        if marks != self._seen and self._opening.acquire(blocking=False):
            try:
                self._follow(marks)
            finally:
                self._opening.release()
        return self._current

    def search(
        self, queries: NDArray[np.float32], k: int, *, at_least: float | None = None
    ) -> Found:
        """Search the newest version; see `Neighbours.search`."""
        return self.current().search(queries, k, at_least=at_least)

    def remove(self, ids: Sequence[str]) -> int:
        """Hide members in this version and all later ones; see `Neighbours.remove`."""
        return self.current().remove(ids)

    def _follow(self, marks: "_Marks") -> None:
        if marks.manifest is None:  # between two versions; the next call looks again
            return
        try:
            if marks.manifest != self._seen.manifest:
                self._current = Neighbours.open(self._path, encoder=self._encoder)
            else:
                self._current.refresh()
            self._refused = None
        except NeighboursError as error:
            self._refused = error
        self._seen = marks


class _Marks(NamedTuple):
    manifest: tuple[int, int] | None
    removed: tuple[int, int] | None


def _marks(path: Path) -> _Marks:
    def mark(name: str) -> tuple[int, int] | None:
        try:
            status = (path / name).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    return _Marks(mark(MANIFEST), mark(REMOVED))
