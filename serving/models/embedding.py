"""Vectors of trails, of all the requests that wait together."""

from collections.abc import Sequence
from typing import Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from components.variants.package import Package
from serving.batching import Batcher
from serving.models.base import Place
from serving.parts import TrailEncoder
from serving.telemetry import BATCH

MOST_TOGETHER = 32


class TrailVectors:
    """An encoder and the queue before it, shared by all models that hold the same one.

    Attributes:
        encoder: that makes the vectors.
    """

    _all: WeakKeyDictionary[TrailEncoder, Self] = WeakKeyDictionary()

    def __init__(self, encoder: TrailEncoder, place: Place):
        self.encoder = encoder
        batch = BATCH.labels(encoder.version)

        def compute(documents: Sequence[NDArray]) -> NDArray[np.float32]:
            batch.observe(len(documents))
            return encoder.embed(documents)

        self._queue = Batcher(
            "encoder",
            compute,
            threads=place.threads,
            most=MOST_TOGETHER,
            waiting=place.limits.waiting,
        )

    @classmethod
    def of(cls, package: Package, place: Place) -> Self:
        """Open a package's encoder, or find it open.

        Raises:
            ServingError: it cannot be opened, or is not what the package says.
        """
        encoder = place.shared.encoder(package)
        return cls._all.setdefault(encoder, cls(encoder, place))

    async def of_documents(self, documents: Sequence[NDArray]) -> NDArray[np.float32]:
        """Return float32[n, d].

        Args:
            documents: as the encoder's `document` and `text` make them.

        Raises:
            Overloaded: too many wait.
        """
        return await self._queue.rows(documents)
