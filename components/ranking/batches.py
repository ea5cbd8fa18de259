"""Batches of lists, cut from memory-mapped arrays by a few calls each.

Documents lie one behind the other, without padding, so that no layer computes padding and batch
normalisation never sees any. Every distinct text of a batch occurs once: lists share queries, and
the pages of one query share most of their titles.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.ranking.lists import Lists
from components.text.ragged import ragged_positions


class Documents(NamedTuple):
    """What a model reads of the m documents of b lists.

    Attributes:
        queries: int32[., words], distinct query texts; word 0 pads.
        titles: int32[., words], distinct titles.
        companies: int32[., words], distinct company names.
        query: int32[b], row of each list's query.
        title: int32[m], row of each document's title.
        company: int32[m], row of each document's company.
        owner: int32[m], each document's list.
        continuous: float32[m, C], raw.
        categorical: int32[m, K], codes from 0, which is unknown.
        vector: float32[b, d], activity vector of each list's member; anything where there is none.
        has_vector: float32[b], 1 where there is one, else 0.
    """

    queries: Any
    titles: Any
    companies: Any
    query: Any
    title: Any
    company: Any
    owner: Any
    continuous: Any
    categorical: Any
    vector: Any
    has_vector: Any


class Sizes(NamedTuple):
    """What the data decides about a model's shape.

    Attributes:
        words: known words, padding and the unknown word among them.
        widths: words of a query, a title and a company name.
        continuous: number of continuous features.
        codes: number of codes of each categorical feature.
        vector: length of the activity vector.
    """

    words: int
    widths: tuple[int, int, int]
    continuous: int
    codes: tuple[int, ...]
    vector: int


class Scale(NamedTuple):
    """Mean and deviation of raw inputs on the training side, float32[n] each."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


class Batch(NamedTuple):
    """Documents and what became of them.

    Attributes:
        documents: of the lists.
        place: int32[m], column of each document in a padded list.
        gains: float32[b, longest], -1 where a list is shorter.
    """

    documents: Documents
    place: Any
    gains: Any


def assemble(
    lists: Lists,
    numbers: NDArray[np.int64],
    vectors: NDArray[np.float32],
    *,
    list_size: int | None = None,
    hidden: NDArray[np.bool_] | None = None,
) -> Batch:
    """Cut lists out.

    A vector of zeros is that of a member with nothing to read, so it counts as none.

    Args:
        lists: opened lists.
        numbers: int64[b], which of them.
        vectors: float32[examples, d].
        list_size: documents of a list to keep, from the top; all when None.
        hidden: bool[b], lists whose vector is hidden.
    """
    starts = lists.offsets[numbers]
    lengths = lists.offsets[numbers + 1] - starts
    if list_size is not None:
        lengths = np.minimum(lengths, list_size)
    rows = ragged_positions(starts, lengths)
    owner = np.repeat(np.arange(len(numbers), dtype=np.int32), lengths)
    place = (rows - np.repeat(starts, lengths)).astype(np.int32)
    gains = np.full((len(numbers), lengths.max(initial=0)), -1, np.float32)
    gains[owner, place] = lists.gains[rows]
    example = lists.example[numbers]
    vector = vectors[np.maximum(example, 0)] if len(vectors) else _nothing(numbers, vectors)
    known = (example >= 0) & vector.any(axis=1)
    if hidden is not None:
        known &= ~hidden
    queries, query = _distinct(lists.queries, lists.query[numbers])
    titles, title = _distinct(lists.titles, lists.title[rows])
    companies, company = _distinct(lists.companies, lists.company[rows])
    documents = Documents(
        queries,
        titles,
        companies,
        query,
        title,
        company,
        owner,
        lists.continuous[rows],
        lists.categorical[rows],
        np.where(known[:, None], vector, np.float32(0)),
        known.astype(np.float32),
    )
    return Batch(documents, place, gains)


def training_batch(
    lists: Lists,
    numbers: NDArray[np.int64],
    vectors: NDArray[np.float32],
    *,
    step: int,
    batch: int,
    share: tuple[int, int] = (0, 1),
    list_size: int,
    drop_vectors: float,
    seed: int,
) -> Batch:
    """Return a step's lists, or one replica's share of them; a pure function of its arguments.

    Args:
        lists: opened lists.
        numbers: int64, lists to learn from.
        vectors: float32[examples, d].
        step: from 0.
        batch: lists of a step, over all replicas.
        share: this replica's number and how many there are; they divide `batch`.
        list_size: documents of a list to keep, from the top.
        drop_vectors: share of the lists whose vector is hidden.
        seed: of the order and of what is hidden.
    """
    steps_of_epoch = max(1, len(numbers) // batch)
    epoch, place = divmod(step, steps_of_epoch)
    order = epoch_order(len(numbers), epoch, seed)
    replica, replicas = share
    chosen = numbers[order[place * batch : (place + 1) * batch][replica::replicas]]
    random = np.random.default_rng([seed, step, replica])
    hidden = random.random(len(chosen)) < drop_vectors
    return assemble(lists, chosen, vectors, list_size=list_size, hidden=hidden)


def in_turn(numbers: NDArray[np.int64], *, batch: int) -> Iterator[NDArray[np.int64]]:
    """Yield list numbers, `batch` at a time."""
    for start in range(0, len(numbers), batch):
        yield numbers[start : start + batch]


class _LastOrder:
    """The order of one epoch is drawn once, not in each of its steps."""

    key: tuple[int, int, int] | None = None
    order: NDArray[np.int64]


def epoch_order(count: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """Return the order in which an epoch visits `count` lists, a pure function of its arguments."""
    key = (count, epoch, seed)
    if _LastOrder.key != key:
        _LastOrder.order = np.random.default_rng([seed, epoch]).permutation(count)
        _LastOrder.key = key
    return _LastOrder.order


def _distinct(
    texts: NDArray[np.int32], rows: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    distinct, row = np.unique(rows, return_inverse=True)
    found = texts[distinct]
    longest = max(1, np.count_nonzero(found.any(axis=0)))  # attention need not compute the rest
    return found[:, :longest], row.astype(np.int32)


def _nothing(numbers: NDArray[np.int64], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.zeros((len(numbers), vectors.shape[1]), np.float32)
