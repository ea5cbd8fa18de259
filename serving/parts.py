"""The parts of packages, opened once however many packages hold them."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from components.activity.config import ActivityConfig, Vertical
from components.baselines.fasttext import WordVectors
from components.encoder.config import EmbedConfig
from components.encoder.embed import Embedder
from components.errors import IntentError
from components.extreme.suggest import trail_document
from components.text.render import normalise
from components.variants.package import Package
from serving.errors import ServingError

Part = TypeVar("Part")
Sessions = list[list[str]]
"""A trail: the texts of its actions, session by session."""

LENGTHS = (1, 3, 8, 20, 50, 120, 250)
"""Subwords of the documents that warm an encoder up."""


class TrailEncoder(Protocol):
    """What makes vectors of trails, as the daily job makes them."""

    version: str
    dimension: int

    def document(self, sessions: Sessions) -> NDArray:
        """Return what `embed` takes of a trail."""

    def text(self, text: str) -> NDArray:
        """Return what `embed` takes of a text."""

    def embed(self, documents: Sequence[NDArray]) -> NDArray[np.float32]:
        """Return float32[n, d]."""

    def warm(self) -> None:
        """Compute what a first request would wait for."""


class SubwordTrails:
    """A fine-tuned encoder; a document is its subwords.

    Attributes:
        embedder: the encoder itself.
    """

    def __init__(self, embedder: Embedder):
        self.embedder = embedder
        self.version, self.dimension = embedder.version, embedder.dimension
        self.embed = embedder.embed

    def document(self, sessions: Sessions) -> NDArray[np.int32]:
        """Return the trail's subwords, sessions closed by [SEP]."""
        return trail_document(self.embedder.vocabulary, sessions)

    def text(self, text: str) -> NDArray[np.int32]:
        """Return the subwords of a text, closed by [SEP]."""
        return trail_document(self.embedder.vocabulary, [[normalise(text)]])

    def warm(self) -> None:
        """Encode documents of several lengths, for runtimes build their kernels by shape."""
        for length in LENGTHS:
            self.embed([np.full(length, self.embedder.vocabulary.sep, np.int32)])


class WordTrails:
    """Word vectors; a document is its vector already."""

    def __init__(self, words: WordVectors):
        self._words = words
        self.version, self.dimension = words.version, words.dimension

    def document(self, sessions: Sessions) -> NDArray[np.float32]:
        """Return the mean of the sessions' means, as `context_vectors` pools them."""
        return self._words.phrases([" ".join(session) for session in sessions]).mean(axis=0)

    def text(self, text: str) -> NDArray[np.float32]:
        """Return the mean of a text's words."""
        return self._words.phrases([normalise(text)])[0]

    def embed(self, documents: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return float32[n, d]."""
        return np.stack(documents)

    def warm(self) -> None:
        """Do nothing: there is nothing to build."""


class Shared:
    """Opens parts, and gives out again what is open under equal content.

    Four rankers of one run read the same feature tables, and three services the same encoder: each
    is in memory once, and the requests of all are batched together.
    """

    def __init__(self) -> None:
        self._open: WeakValueDictionary[tuple, Any] = WeakValueDictionary()

    def part(self, package: Package, name: str, load: Callable[[Path], Part], *more: Any) -> Part:
        """Open the part `name` of a package.

        Args:
            package: that was found whole.
            name: of the part's file or directory.
            load: opens it.
            more: what else decides what is opened.

        Raises:
            ServingError: the package has no such part, or it cannot be opened.
        """
        files = {
            path: file.digest
            for path, file in package.about.files.items()
            if path == name or path.startswith(f"{name}/")
        }
        if not files:
            raise ServingError(f"{package.path}: has no part {name!r}")
        content = hashlib.blake2b(repr(sorted(files.items())).encode()).hexdigest()
        key = content, load.__qualname__, repr(more)
        opened = self._open.get(key)
        if opened is None:
            try:
                opened = load(package.path / name)
            except IntentError as error:
                raise ServingError(f"{package.path}: {error}") from error
            self._open[key] = opened
        return opened

    def encoder(self, package: Package) -> TrailEncoder:
        """Open a package's encoder, held to what the package says of it.

        Raises:
            ServingError: it cannot be opened, or is another.
        """
        about, embed = package.about, EmbedConfig(**package.settings()["embed"])

        def bert(path: Path) -> TrailEncoder:
            import torch

            # The runtimes take as many streams as torch has threads.
            torch.set_num_threads(len(os.sched_getaffinity(0)))
            return SubwordTrails(Embedder.load(path, embed))

        def fasttext(path: Path) -> TrailEncoder:
            return WordTrails(WordVectors.load(path))

        load = {"bert": bert, "fasttext": fasttext}[about.encoder_kind or "bert"]
        opened = self.part(package, "encoder", load, embed)
        for what, said, found in (
            ("encoder", about.encoder, opened.version),
            ("dimension", about.dimension, opened.dimension),
        ):
            if said != found:
                raise ServingError(f"{package.path}: its {what} is {found}, it says {said}")
        return opened


def vertical_of(package: Package) -> tuple[Vertical, ActivityConfig]:
    """Return which actions a package's encoder knows, and how they become sessions."""
    settings = package.settings()
    return Vertical(**settings["vertical"]), ActivityConfig(**settings["activity"])
