"""Examples for extreme classification: what a member did, and the entities that followed.

An example is a context, which its vector is computed from, and a target, the sessions that follow.
Labels are the search queries and the posting entities of the vertical's label actions. Data sets
(section 3.4 of the paper) differ in which labels an example has:

- D1: labels of the target.
- D1-new: labels of the target that the context does not contain; repeating oneself scores nothing.
- D2: labels of context and target. The context's own entities are among them, so repeating them is
  right nearly every time by construction: a score on D2 is to be read beside that of repeating.
- D3: the labels of D2 for members who have never searched, in the whole of their trail.
"""

import logging
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from components.activity.config import SplitConfig, Vertical
from components.activity.split import TEST, TRAIN, VALIDATION, member_split
from components.files import whole_directory
from components.labels.config import ExamplesConfig
from components.labels.errors import LabelsError
from components.labels.trails import Trails, read_trails
from components.progress import progress
from components.text.ragged import ragged_positions

SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
DATASETS = ("D1", "D1-new", "D2", "D3")
EXAMPLES, LABELS = "examples.parquet", "labels.parquet"
MATRICES = ("context", "context_counts", "target")
_ROWS_AT_ONCE = 8_000_000

logger = logging.getLogger(__name__)


def build_examples(
    sessions: Path,
    target: Path,
    config: ExamplesConfig,
    vertical: Vertical,
    *,
    split: SplitConfig,
    seed: int,
) -> None:
    """Cut trails into examples and find their labels, all or nothing.

    Writes `examples.parquet` (member_id, split, first_session, context_end, target_end, searched;
    sessions 0-based, ends exclusive), `labels.parquet` (label, kind, text, count, most frequent
    first) and sparse [examples, labels] matrices: `context.npz`, whose values rank a row's labels
    by last occurrence (1 is the oldest), `context_counts.npz`, occurrences, and `target.npz`.

    A label is known from training examples alone; its count is the number of them that have it in
    D2. Members of the validation and test sides always make one example.

    Args:
        sessions: directory of session parts, sorted by member and time.
        target: directory to write.
        config: where trails are cut and how rare a label may be.
        vertical: which actions make labels.
        split: shares of members kept out of training.
        seed: of the split.

    Raises:
        LabelsError: nothing to read, or no label is frequent enough.
    """
    trails = read_trails(sessions, vertical)
    sides = member_split(
        trails.member_ids.to_pylist(), seed=seed, validation=split.validation, test=split.test
    )
    cuts = cut_trails(trails.sessions, sides, config)
    labels, counts = _choose_labels(trails, cuts, sides, config.minimum_label_count)
    if not len(labels):
        raise LabelsError(
            f"{sessions}: no label is shared by minimum_label_count={config.minimum_label_count} "
            "training members"
        )
    matrices = _matrices(trails, cuts, labels)
    with whole_directory(target) as directory:
        _write_examples(directory / EXAMPLES, trails, cuts, sides)
        _write_labels(directory / LABELS, [trails.texts[text] for text in labels], counts)
        for name, matrix in zip(MATRICES, matrices, strict=True):
            sp.save_npz(directory / f"{name}.npz", matrix, compressed=False)
    logger.info("examples=%d labels=%d", len(cuts.member), len(labels))


class Examples:
    """Examples and labels written by `build_examples`.

    Attributes:
        table: columns of `examples.parquet` as arrays.
        label_texts: text of each label.
        label_kinds: "query" or "entity" of each label.
        label_counts: int64[L], training examples that have the label in D2.
        context: int32 CSR [n, L], recency rank of labels in the context (1 is the oldest).
        context_counts: int32 CSR [n, L], occurrences in the context.
        target: int8 CSR [n, L], labels of the target.
    """

    def __init__(self, table: pa.Table, labels: pa.Table, matrices: list[sp.csr_matrix]):
        self.table = {
            name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names
        }
        self.label_texts: list[str] = labels.column("text").to_pylist()
        self.label_kinds: list[str] = labels.column("kind").to_pylist()
        self.label_counts = labels.column("count").to_numpy()
        self.context, self.context_counts, self.target = matrices

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Load examples, labels and matrices.

        Raises:
            LabelsError: a file is missing or damaged, or the files do not belong together.
        """
        loaders = {
            EXAMPLES: pq.read_table,
            LABELS: pq.read_table,
            **{f"{name}.npz": sp.load_npz for name in MATRICES},
        }
        loaded = [_load(directory / name, load) for name, load in loaders.items()]
        table, labels, *matrices = loaded
        for name, matrix in zip(MATRICES, matrices, strict=True):
            if matrix.shape != (len(table), len(labels)):
                raise LabelsError(
                    f"{directory / name}.npz: is {matrix.shape}, but there are {len(table)} "
                    f"examples and {len(labels)} labels"
                )
        return cls(table, labels, matrices)

    def __len__(self) -> int:
        return self.target.shape[0]

    def select(self, dataset: str, split: str) -> tuple[np.ndarray, sp.csr_matrix]:
        """Return the examples of one side that have labels, and their labels.

        Args:
            dataset: "D1", "D1-new", "D2" or "D3"; see the module's description.
            split: "train", "validation" or "test".

        Returns:
            Example rows int64[n], and their labels, float32 ones in CSR [n, L].

        Raises:
            LabelsError: no such data set or split.
        """
        if dataset not in DATASETS or split not in SPLITS:
            raise LabelsError(
                f"no {dataset!r} of {split!r}: data sets are {', '.join(DATASETS)}, "
                f"splits {', '.join(SPLITS)}"
            )
        wanted = self.table["split"] == SPLITS[split]
        if dataset == "D3":
            wanted &= ~self.table["searched"]
        rows = np.flatnonzero(wanted)
        labels = _ones(self.target[rows])
        if dataset != "D1":
            context = _ones(self.context[rows])
            shared = labels.multiply(context)
            labels = labels - shared if dataset == "D1-new" else labels + context - shared
            labels = sp.csr_matrix(labels)
            labels.eliminate_zeros()
            labels.sort_indices()
        has_labels = np.diff(labels.indptr) > 0
        return rows[has_labels], labels[has_labels]

    def take(self, rows: np.ndarray) -> Self:
        """Return some of the examples, int64[n] rows, with all labels."""
        part = copy(self)
        part.table = {name: column[rows] for name, column in self.table.items()}
        part.context, part.context_counts, part.target = (
            matrix[rows] for matrix in (self.context, self.context_counts, self.target)
        )
        return part

    def past_to_exclude(self, dataset: str, rows: np.ndarray) -> sp.csr_matrix | None:
        """Return the labels that a data set does not let anyone repeat, [n, L]; None for none."""
        return self.context[rows] if dataset == "D1-new" else None


def read_labels(directory: Path) -> pa.Table:
    """Read label, kind, text and count of every label that `build_examples` wrote.

    Raises:
        LabelsError: the file is missing or damaged; names it.
    """
    return _load(directory / LABELS, pq.read_table)


class Cuts(NamedTuple):
    """Where each example's member was cut: int arrays [examples], sessions 0-based."""

    member: np.ndarray
    first_session: np.ndarray
    context_end: np.ndarray
    target_end: np.ndarray


def cut_trails(sessions: np.ndarray, sides: np.ndarray, config: ExamplesConfig) -> Cuts:
    """Cut members' trails into contexts and targets.

    Args:
        sessions: sessions per member.
        sides: 0 for training members, who alone may have several windows.
        config: share of the context, windows; the most that a context holds binds every member, so
            that models are measured on contexts like those they learnt from.

    Returns:
        The examples, ordered by member and then by cut.
    """
    sessions = sessions.astype(np.int64)
    # The tiny addition keeps 0.29 * 100 from falling to 28.
    last_cut = np.maximum(1, np.floor(config.context_share * sessions + 1e-9).astype(np.int64))
    windows = config.windows
    if windows is None:
        member = np.arange(len(sessions))
        return Cuts(member, np.zeros_like(member), last_cut, sessions)
    earlier = np.maximum(0, last_cut - windows.minimum_context) // windows.stride
    earlier[sides != TRAIN] = 0
    member = np.repeat(np.arange(len(sessions)), earlier + 1)
    order = ragged_positions(np.zeros_like(earlier), earlier + 1)
    back = np.repeat(earlier, earlier + 1) - order
    cut = last_cut[member] - windows.stride * back
    if windows.target_sessions is None:
        after = config.context_share / (1 - config.context_share)
        length = np.ceil(cut / after - 1e-9).astype(np.int64)
    else:
        length = np.full_like(cut, windows.target_sessions)
    end = np.where(back == 0, sessions[member], np.minimum(cut + length, sessions[member]))
    first = np.zeros_like(cut)
    if windows.maximum_context is not None:
        first = np.maximum(0, cut - windows.maximum_context)
    return Cuts(member, first, cut, end)


class _Occurrences(NamedTuple):
    """Occurrences within the examples of some members, by example and time.

    Attributes:
        example: row of the example.
        text: number of the text.
        in_context: whether in the context, else in the target.
    """

    example: np.ndarray
    text: np.ndarray
    in_context: np.ndarray


def _choose_labels(
    trails: Trails, cuts: Cuts, sides: np.ndarray, minimum: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the texts that are labels, most frequent first, and their counts of examples."""
    texts = len(trails.texts)
    members = np.zeros(texts, dtype=np.int64)
    examples = np.zeros(texts, dtype=np.int64)
    for chunk in _chunks(trails, cuts, "choose labels"):
        training = sides[cuts.member[chunk.example]] == TRAIN
        shown = _distinct(chunk.example[training] * texts + chunk.text[training])
        example, text = np.divmod(shown, max(texts, 1))
        examples += np.bincount(text, minlength=texts)
        shown = _distinct(cuts.member[example] * texts + text)
        members += np.bincount(shown % max(texts, 1), minlength=texts)
    kept = np.flatnonzero(members >= minimum).tolist()
    kept.sort(key=lambda text: (-examples[text], trails.texts[text][1], trails.texts[text][0]))
    labels = np.array(kept, dtype=np.int64)
    return labels, examples[labels]


def _matrices(
    trails: Trails, cuts: Cuts, labels: np.ndarray
) -> tuple[sp.csr_matrix, sp.csr_matrix, sp.csr_matrix]:
    label_of = np.full(len(trails.texts), -1, dtype=np.int64)
    label_of[labels] = np.arange(len(labels))
    recency, counts, target = [], [], []
    for chunk in _chunks(trails, cuts, "label examples"):
        label = label_of[chunk.text]
        is_past = (label >= 0) & chunk.in_context
        is_next = (label >= 0) & ~chunk.in_context
        past = _cells(chunk.example[is_past], label[is_past], len(labels))
        next_ = _cells(chunk.example[is_next], label[is_next], len(labels))
        recency.append((past.example, past.label, _ranks(past)))
        counts.append((past.example, past.label, past.occurrences))
        target.append((next_.example, next_.label, np.ones(len(next_.label), dtype=np.int8)))
    shape = (len(cuts.member), len(labels))
    return (
        _stacked(recency, shape, np.int32),
        _stacked(counts, shape, np.int32),
        _stacked(target, shape, np.int8),
    )


def _chunks(trails: Trails, cuts: Cuts, description: str) -> Iterator[_Occurrences]:
    """Yield the occurrences of all examples, some whole members at a time to bound memory."""
    members = len(trails.sessions)
    first_example = np.searchsorted(cuts.member, np.arange(members + 1))
    expanded = np.cumsum(np.diff(trails.offsets) * np.diff(first_example))
    start = 0
    with progress(description, total=members) as bar:
        while start < members:
            done = int(expanded[start - 1]) if start else 0
            end = int(np.searchsorted(expanded, done + _ROWS_AT_ONCE, side="right"))
            end = max(end, start + 1)
            yield _occurrences(trails, cuts, start, end, slice(*first_example[[start, end]]))
            bar.advance(end - start)
            start = end


def _occurrences(trails: Trails, cuts: Cuts, start: int, end: int, examples: slice) -> _Occurrences:
    rows = slice(trails.offsets[start], trails.offsets[end])
    owner = np.repeat(np.arange(end - start), np.diff(trails.offsets[start : end + 1]))
    session = trails.session[rows].astype(np.int64)
    longest = int(trails.sessions[start:end].max()) + 1
    time = owner * longest + session
    member = (cuts.member[examples] - start) * longest
    first = np.searchsorted(time, member + cuts.first_session[examples])
    last = np.searchsorted(time, member + cuts.target_end[examples])
    example = np.repeat(np.arange(examples.start, examples.stop), last - first)
    position = ragged_positions(first, last - first)
    return _Occurrences(
        example=example,
        text=trails.text[rows][position].astype(np.int64),
        in_context=session[position] < cuts.context_end[example],
    )


class _Cells(NamedTuple):
    """Distinct (example, label) pairs in row-major order."""

    example: np.ndarray
    label: np.ndarray
    occurrences: np.ndarray
    last: np.ndarray


def _distinct(values: np.ndarray) -> np.ndarray:
    # numpy's own `unique` hashes integers, which takes ten times as long as sorting them.
    ordered = np.sort(values)
    return ordered[_ends(ordered)]


def _ends(ordered: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)])


def _cells(example: np.ndarray, label: np.ndarray, labels: int) -> _Cells:
    cell = example * labels + label
    order = np.argsort(cell, kind="stable")
    ordered = cell[order]
    ends = _ends(ordered)
    example, label = np.divmod(ordered[ends], labels)
    return _Cells(example, label, np.diff(ends, prepend=-1), order[ends])


def _ranks(cells: _Cells) -> np.ndarray:
    """Rank each row's labels by last occurrence, from 1."""
    # Occurrences lie by example, so ordering all of them by position keeps rows together.
    order = np.argsort(cells.last)
    ranks = np.empty(len(order), dtype=np.int32)
    ranks[order] = np.arange(len(order)) - np.searchsorted(cells.example, cells.example) + 1
    return ranks


def _stacked(pieces: list[tuple], shape: tuple[int, int], dtype: type) -> sp.csr_matrix:
    rows, columns, values = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
    return sp.csr_matrix((values.astype(dtype), columns, offsets), shape)


def _ones(matrix: sp.csr_matrix) -> sp.csr_matrix:
    ones = np.ones(matrix.nnz, dtype=np.float32)
    return sp.csr_matrix((ones, matrix.indices, matrix.indptr), matrix.shape)


def _write_examples(path: Path, trails: Trails, cuts: Cuts, sides: np.ndarray) -> None:
    table = pa.table(
        {
            "member_id": trails.member_ids.take(pa.array(cuts.member)),
            "split": sides[cuts.member].astype(np.int8),
            "first_session": cuts.first_session.astype(np.int32),
            "context_end": cuts.context_end.astype(np.int32),
            "target_end": cuts.target_end.astype(np.int32),
            "searched": trails.searched[cuts.member],
        }
    )
    pq.write_table(table, path)


def _write_labels(path: Path, labels: list[tuple[str, str]], counts: np.ndarray) -> None:
    kinds, texts = zip(*labels, strict=True)
    numbers = np.arange(len(labels), dtype=np.int32)
    pq.write_table(
        pa.table({"label": numbers, "kind": list(kinds), "text": list(texts), "count": counts}),
        path,
    )


def _load(path: Path, load: Callable[[Path], Any]) -> Any:
    try:
        return load(path)
    except Exception as error:
        raise LabelsError(f"{path}: cannot be read: {error}") from error
