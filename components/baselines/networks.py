"""Networks over words: mean word vectors through layers, and convolutions over a text."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from components.baselines.contexts import ContextWords


class Body(nn.Module, ABC):
    """Turns what a reader read of examples into features.

    Attributes:
        dimension: of the features.
    """

    dimension: int

    @abstractmethod
    def forward(self, inputs: Any) -> Tensor:
        """Return features, float32 [B, dimension]."""

    @abstractmethod
    def work(self, inputs: Any) -> tuple[int, float]:
        """Return words or examples, and operations that training on them takes."""


class MeanVectors:
    """What a feed-forward network reads of examples: a vector each.

    Args:
        vectors: float32 [examples, d].
    """

    def __init__(self, vectors: NDArray[np.float32]):
        self._vectors = vectors

    def read(self, rows: NDArray[np.int64]) -> Tensor:
        """Return float32 [B, d]."""
        return torch.from_numpy(self._vectors[rows])


class FeedForward(Body):
    """Fully connected layers, each with batch normalisation and ReLU.

    Args:
        dimension: of the input.
        units: of each layer.
    """

    def __init__(self, dimension: int, units: Sequence[int]):
        super().__init__()
        self.dimension = units[-1]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU())
                for before, after in pairwise((dimension, *units))
            )
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """Turn float32 [B, d] into [B, units]."""
        return self.layers(vectors)

    def work(self, vectors: Tensor) -> tuple[int, float]:
        """Return examples, and operations that training on them takes."""
        weights = sum(p.numel() for p in self.layers.parameters() if p.ndim > 1)
        return len(vectors), 6.0 * len(vectors) * weights


class Texts(NamedTuple):
    """Texts end to end, each behind it the padding that the widest filter needs.

    Attributes:
        words: int64[U], the distinct words.
        places: int64[T], of each word of the texts among `words`.
        starts: place of each text's first word.
        lengths: its words; a text without any is one word of padding.
    """

    words: Tensor
    places: Tensor
    starts: list[int]
    lengths: list[int]

    def to(self, device: torch.device) -> Self:
        """Return the texts on a device."""
        return self._replace(words=self.words.to(device), places=self.places.to(device))


class TextReader:
    """What a convolution reads of examples: their words.

    Args:
        contexts: of the examples.
        padding: id of the word that stands for none.
        widest: filter, in words.
    """

    def __init__(self, contexts: ContextWords, *, padding: int, widest: int):
        self._contexts, self._padding, self._widest = contexts, padding, widest

    def read(self, rows: NDArray[np.int64]) -> Texts:
        """Return the texts of examples."""
        ids, lengths = self._contexts.of(rows)
        shown = np.maximum(lengths, 1)
        starts = np.cumsum(shown + self._widest - 1) - (shown + self._widest - 1)
        text = np.full(int((shown + self._widest - 1).sum()), self._padding, np.int64)
        text[np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(len(ids))] = (
            ids
        )
        words, places = np.unique(text, return_inverse=True)
        return Texts(
            torch.from_numpy(words), torch.from_numpy(places), starts.tolist(), shown.tolist()
        )


class Convolutions(Body):
    """Filters over word vectors, max-pooling over time, a fully connected layer.

    A filter's response to a window is the sum of its responses to the window's words, each by its
    place; these are computed once per distinct word of a batch. Only the window that wins the
    maximum has a gradient, so the others are summed outside of the graph.

    Args:
        vectors: float32 [V, d], word vectors to start from; trained along.
        widths: of the filters, in words.
        filters: of each width.
        units: of the fully connected layer.

    Source: Kim, Convolutional neural networks for sentence classification, EMNLP 2014.
    """

    def __init__(
        self, vectors: NDArray[np.float32], *, widths: Sequence[int], filters: int, units: int
    ):
        super().__init__()
        self.dimension = units
        padded = np.concatenate([vectors, np.zeros((1, vectors.shape[1]), np.float32)])
        self.embedding = nn.Embedding.from_pretrained(
            torch.from_numpy(padded), freeze=False, padding_idx=len(vectors)
        )
        self.filters = nn.ModuleList(_Filters(vectors.shape[1], width, filters) for width in widths)
        self.dense = nn.Linear(filters * len(widths), units)

    @property
    def padding(self) -> int:
        """Id of the word that stands for none."""
        return self.embedding.padding_idx

    def forward(self, texts: Texts) -> Tensor:
        """Turn texts into float32 [B, units]."""
        words = self.embedding(texts.words)
        pooled = [filters(words, texts) for filters in self.filters]
        return F.relu(self.dense(F.relu(torch.cat(pooled, dim=1))))

    def work(self, texts: Texts) -> tuple[int, float]:
        """Return words, and operations that training on them takes."""
        products = len(texts.words) * sum(weight.numel() for weight in self.filters.parameters())
        dense = len(texts.lengths) * self.dense.weight.numel()
        return sum(texts.lengths), 6.0 * (products + dense)


class _Filters(nn.Module):
    """Filters of one width: their greatest response over a text."""

    def __init__(self, dimension: int, width: int, filters: int):
        super().__init__()
        self.width = width
        self.kernel = nn.Parameter(torch.empty(width * filters, dimension))
        self.bias = nn.Parameter(torch.zeros(filters))
        bound = (width * dimension) ** -0.5
        nn.init.uniform_(self.kernel, -bound, bound)

    def forward(self, words: Tensor, texts: Texts) -> Tensor:
        """Return [B, filters]; `words` [U, d] are the vectors of the distinct words."""
        count = len(self.bias)
        responses = F.linear(words, self.kernel).view(-1, count)  # [U * width, filters]
        offset = torch.arange(self.width, device=words.device)
        with torch.no_grad():
            windows = texts.places.unfold(0, self.width, 1) * self.width + offset
            sums = F.embedding_bag(windows, responses, mode="sum")
            best = torch.stack(
                [
                    start + sums[start : start + length].max(0).indices
                    for start, length in zip(texts.starts, texts.lengths, strict=True)
                ]
            )
        winners = windows[best]  # [B, filters, width]
        columns = torch.arange(count, device=words.device)[:, None]
        return responses[winners, columns].sum(2) + self.bias
