"""What a trained sequence baseline suggests for examples, as labels."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.baselines.beam import beam_search
from components.baselines.floors import Ranking
from components.baselines.sequence_config import SequenceConfig
from components.baselines.session_model import SessionModel
from components.baselines.turn_batches import Windows, asking_batch, last_windows
from components.baselines.turns import UNKNOWN, Lexicon, Turns
from components.labels.examples import Examples
from components.labels.trails import QUERY

MEMBERS_AT_ONCE = 64


def query_labels(data: Examples) -> dict[str, int]:
    """Return the labels that are queries, by their text."""
    named = zip(data.label_texts, data.label_kinds, strict=True)
    return {text: label for label, (text, kind) in enumerate(named) if kind == QUERY}


class Suggestions:
    """Ranks labels by a model's beam search; each example is asked once. A `Rank`.

    Args:
        model: trained, on the CPU.
        turns: everybody's.
        lexicon: words.
        data: examples and labels.
        config: sizes.

    Attributes:
        texts: queries suggested for each example asked, best first; none where its context holds
            no query.
    """

    def __init__(
        self,
        model: SessionModel,
        turns: Turns,
        lexicon: Lexicon,
        data: Examples,
        config: SequenceConfig,
    ):
        self.texts: dict[int, list[str]] = {}
        self._model, self._turns, self._lexicon = model.eval(), turns, lexicon
        self._data, self._config = data, config
        self._label_of = query_labels(data)

    def __call__(self, rows: NDArray[np.int64], k: int, exclude: sp.csr_matrix | None) -> Ranking:
        """Rank labels: the suggestions without those excluded, -1 for one that is no label."""
        self._ask(np.array([row for row in rows.tolist() if row not in self.texts], np.int64))
        labels = np.full((len(rows), k), -1, np.int32)
        for place, row in enumerate(rows.tolist()):
            barred = set() if exclude is None else set(exclude[[place]].indices.tolist())
            found = (self._label_of.get(text, -1) for text in self.texts[row])
            kept = [label for label in found if label not in barred][:k]
            labels[place, : len(kept)] = kept
        return labels, (labels >= 0).astype(np.float32)

    def facts(self) -> dict[str, float]:
        """Describe the first suggestions for all that were asked.

        Returns:
            `answered`, the share with a suggestion, and of the first suggestions the shares that
            are no label (`unknown`), hold an unknown word (`unk`) and are a query of the context
            (`repeats`).
        """
        rows = np.array([row for row, texts in self.texts.items() if texts], np.int64)
        first = [self.texts[row][0] for row in rows.tolist()]
        counts = {
            "unknown": sum(text not in self._label_of for text in first),
            "unk": sum(self._lexicon.words[UNKNOWN] in text.split() for text in first),
            "repeats": sum(
                text in past for text, past in zip(first, self._past(rows), strict=True)
            ),
        }
        shares = {name: count / max(1, len(first)) for name, count in counts.items()}
        return {"answered": len(first) / max(1, len(self.texts)), **shares}

    def _ask(self, rows: NDArray[np.int64]) -> None:
        self.texts |= {row: [] for row in rows.tolist()}
        asked, windows = self._windows(rows, self._config.turns)
        by_length = np.argsort(windows.end - windows.start, kind="stable")
        for first in range(0, len(asked), MEMBERS_AT_ONCE):
            chosen = by_length[first : first + MEMBERS_AT_ONCE]
            texts = self._write(Windows(windows.start[chosen], windows.end[chosen]))
            self.texts |= zip(rows[asked[chosen]].tolist(), texts, strict=True)

    def _write(self, windows: Windows) -> list[list[str]]:
        batch = asking_batch(self._turns, self._lexicon, windows, self._config)
        found = beam_search(self._model, batch, beam=self._config.beam, words=self._config.words)
        in_lexicon = np.concatenate([np.arange(batch.targets), batch.copied.numpy()])
        texts = []
        for ids, log_p in zip(in_lexicon[found.ids.numpy()], found.log_p.numpy(), strict=True):
            texts.append([self._lexicon.text(query) for query in ids[np.isfinite(log_p)].tolist()])
        return texts

    def _past(self, rows: NDArray[np.int64]) -> list[set[str]]:
        """Return the queries of whole contexts that hold one."""
        _, windows = self._windows(rows, len(self._turns.query))
        spans = zip(windows.start.tolist(), windows.end.tolist(), strict=True)
        return [
            {self._turns.queries[number] for number in self._turns.query[start:end].tolist()}
            for start, end in spans
        ]

    def _windows(self, rows: NDArray[np.int64], length: int) -> tuple[NDArray[np.int64], Windows]:
        table = self._data.table
        return last_windows(
            self._turns,
            table["member_id"][rows],
            table["first_session"][rows],
            table["context_end"][rows],
            length,
        )
