"""Entities predicted after trails, as the daily job predicts them of members."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.extreme.slice import Slice
from components.extreme.suggest import LabelRanker, rendered_sessions
from components.labels.examples import read_labels
from components.variants.package import Package
from serving.errors import ServingError
from serving.lookup import Entity
from serving.models.base import Place
from serving.models.embedding import TrailVectors
from serving.parts import vertical_of
from serving.requests import Surface


class Trail(NamedTuple):
    """What somebody did, and how much to predict of it.

    Attributes:
        rows: in order, as `read_actions` gives them.
        surface: whether what was done may be predicted again.
        k: entities at most.
    """

    rows: pa.Table
    surface: Surface
    k: int


class TrailEntities:
    """A package's encoder and classifiers.

    Args:
        package: holds `encoder`, `slices/SURFACE` and `examples`.
        place: of the server.
        surfaces: to predict for.

    Attributes:
        labels: text and kind, by number.

    Raises:
        ServingError: a part is missing, or does not fit the others.
    """

    def __init__(self, package: Package, place: Place, surfaces: Sequence[Surface]):
        self._vectors = TrailVectors.of(package, place)
        vertical, _ = vertical_of(package)
        table = read_labels(package.path / "examples")
        self.labels = list(zip(table["text"].to_pylist(), table["kind"].to_pylist(), strict=True))
        self._rankers = {}
        for surface in surfaces:
            model = place.shared.part(package, f"slices/{surface}", _load)
            if model.dimension != package.about.dimension or model.label_count != len(table):
                raise ServingError(
                    f"{package.path}/slices/{surface}: takes {model.dimension} dimensions to "
                    f"{model.label_count} labels, the package has {package.about.dimension} and "
                    f"{len(table)}"
                )
            self._rankers[surface] = LabelRanker(model, table, vertical)

    async def after(self, trails: Sequence[Trail]) -> list[list[Entity]]:
        """Return the entities of each trail, best first; none of one that cannot be read."""
        encoder = self._vectors.encoder
        vectors = await self._vectors.of_documents(
            [encoder.document(rendered_sessions(trail.rows)) for trail in trails]
        )
        return await asyncio.gather(
            *(
                asyncio.to_thread(self._best, trail, vector)
                for trail, vector in zip(trails, vectors, strict=True)
            )
        )

    def warm(self) -> None:
        """Encode documents of several lengths."""
        self._vectors.encoder.warm()

    def _best(self, trail: Trail, vector: NDArray[np.float32]) -> list[Entity]:
        if not vector.any():  # nothing that the encoder could read
            return []
        most = min(trail.k, len(self.labels))
        found = self._rankers[trail.surface].best(vector[None], trail.rows, most, trail.surface)
        return [Entity(own.text, own.kind, own.score) for own in found]


def _load(path: Path) -> Slice:
    return Slice.load(path)
