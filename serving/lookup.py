"""The store as servers read it: one dataset, held to the encoder that a package reads."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from components.store.errors import StoreError
from components.store.store import Store, open_store
from components.variants.package import Package
from serving.errors import NotReady, ServingError
from serving.telemetry import LOOKUPS, span

CHECK_SECONDS = 1.0

Value = TypeVar("Value")


class Entity(NamedTuple):
    """A label that was predicted.

    Attributes:
        text: of the label.
        kind: "query" or "entity".
        score: of the classifiers, higher is better.
    """

    text: str
    kind: str
    score: float


class Content(NamedTuple):
    """What the records of a version speak of.

    Attributes:
        version: its number.
        surfaces: name of each of a record's lists.
        labels: text and kind by number; None where the version was pushed without.
    """

    version: int
    surfaces: tuple[str, ...]
    labels: list[tuple[str, str]] | None


class Lookup:
    """Reads one dataset of a store for one package.

    Args:
        url: of the store.
        package: names the dataset, and the encoder and dimension it has to have.
    """

    def __init__(self, url: str, package: Package):
        about = package.about
        if about.dataset is None:
            raise ServingError(f"{package.path}: reads no dataset of a store")
        self._name, self.dataset = about.model, about.dataset
        self._encoder, self._dimension = about.encoder, about.dimension
        self._url = url
        self._opened: Store | None = None
        # A memory map answers sooner than a thread could be woken.
        self._inline = not url.startswith(("redis", "rediss"))
        self._checked = 0.0
        self._problem: str | None = None
        self._content: Content | None = None

    def problem(self) -> str | None:
        """Say why the store's current version cannot be read with this package, if it cannot."""
        now = time.monotonic()
        if now - self._checked > CHECK_SECONDS:
            try:
                self._problem = self._look()
            except StoreError as error:
                self._problem = str(error)
            self._checked = now
        return self._problem

    @property
    def _store(self) -> Store:
        """The store, which need not have held anything when the server started.

        Raises:
            StoreError: it holds nothing yet, or is away.
        """
        if self._opened is None:
            self._opened = open_store(self._url, dataset=self.dataset)
        return self._opened

    async def vectors(
        self, members: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the vectors of members, float32[n, d], and which were found."""
        return await self._ask("vectors", lambda: self._store.vectors(list(members)))

    async def record(self, member: str) -> Any:
        """Return a member's record; None where there is none."""
        return await self._ask("get", lambda: self._store.get(member))

    async def entities(
        self, member: str, surface: str, own: Sequence[tuple[str, str]]
    ) -> list[Entity] | None:
        """Return what was predicted of a member, best first; None where there is no record.

        Args:
            member: its id.
            surface: which of the record's lists.
            own: text and kind of the labels, for a version that was pushed without.
        """
        record = await self.record(member)
        if record is None:
            return None
        content = self.content(record.version)
        if surface not in content.surfaces:
            return None
        row, labels = content.surfaces.index(surface), content.labels or own
        found = zip(record.labels[row].tolist(), record.scores[row].tolist(), strict=True)
        return [
            Entity(text=labels[label][0], kind=labels[label][1], score=score)
            for label, score in found
            if 0 <= label < len(labels)
        ]

    def content(self, number: int) -> Content:
        """Return the labels and surfaces of the version that a record was read from.

        Args:
            number: of that version, which is the current one or was a moment ago.

        Raises:
            NotReady: the store does not hold that version any more.
        """
        if self._content is None or self._content.version != number:
            version = next((v for v in self._store.versions() if v.number == number), None)
            if version is None:
                raise NotReady(self._name, f"dataset {self.dataset} has dropped version {number}")
            labels, table = None, self._store.labels(number)
            if table is not None:
                columns = table["text"].to_pylist(), table["kind"].to_pylist()
                labels = list(zip(*columns, strict=True))
            self._content = Content(number, version.schema.surfaces, labels)
        return self._content

    async def _ask(self, verb: str, call: Callable[[], Value]) -> Value:
        with span(f"store {verb}", dataset=self.dataset):
            try:
                answer = call() if self._inline else await asyncio.to_thread(call)
            except StoreError as error:
                LOOKUPS.labels(self.dataset, "failed").inc()
                raise NotReady(self._name, str(error)) from error
        LOOKUPS.labels(self.dataset, "answered").inc()
        return answer

    def _look(self) -> str | None:
        version = self._store.current()
        if version is None:
            return f"the store has no version of dataset {self.dataset} yet"
        if version.model != self._encoder:
            return (
                f"dataset {self.dataset} holds vectors of encoder {version.model} since version "
                f"{version.number}, {self._name} reads those of {self._encoder}"
            )
        if version.schema.dimension != self._dimension:
            return (
                f"dataset {self.dataset} holds vectors of {version.schema.dimension} dimensions, "
                f"{self._name} reads {self._dimension}"
            )
        return None
