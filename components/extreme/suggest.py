"""Suggested searches for one trail: a member's, or the few actions of a visitor nobody has seen."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from numpy.typing import NDArray

from components.activity.config import ActivityConfig, FilesConfig, Vertical
from components.activity.schema import ActivityError
from components.activity.sessions import session_parts, write_sessions
from components.activity.sources import ingest_files
from components.encoder.config import EmbedConfig
from components.encoder.embed import Embedder
from components.extreme.errors import ExtremeError
from components.extreme.slice import Slice
from components.labels.examples import read_labels
from components.text.render import action_text, entity_text
from components.text.vocabulary import Vocabulary

Surface = Literal["explore", "any"]
VISITOR = "visitor"
MICROSECONDS_PER_MINUTE = 60_000_000
TRAIL_COLUMNS = ["member_id", "ts", "sequence", "session", "action", "query", "company", "title"]


class Suggestion(NamedTuple):
    """A suggested search.

    Attributes:
        text: of the label.
        kind: "query" or "entity".
        score: of Slice, higher is better.
        seen: whether the trail already holds it.
    """

    text: str
    kind: str
    score: float
    seen: bool


class LabelRanker:
    """Slice classifiers and the texts of their labels, ready for single trails.

    Args:
        model: predicts labels from vectors.
        labels: table of the labels, with `text` and `kind`.
        vertical: which actions there are and which make labels.
    """

    def __init__(self, model: Slice, labels: pa.Table, vertical: Vertical):
        self._model, self._vertical = model, vertical
        self._texts: list[str] = labels.column("text").to_pylist()
        self._kinds: list[str] = labels.column("kind").to_pylist()
        self._numbers = {
            (kind, text): n
            for n, (kind, text) in enumerate(zip(self._kinds, self._texts, strict=True))
        }

    def best(
        self, vector: NDArray[np.float32], trail: pa.Table, k: int, surface: Surface
    ) -> list[Suggestion]:
        """Return the k best suggestions after a trail.

        Args:
            vector: float32[1, d], of the trail.
            trail: rows of one member, in order, as `read_trail` gives them.
            k: how many.
            surface: "explore" leaves out what the trail already holds ("suggested job searches"),
                "any" may repeat it ("try searching for").

        Source: paper, section 5.2.
        """
        seen = self._past_labels(trail)
        past = sp.csr_matrix(
            (np.ones(len(seen)), ([0] * len(seen), sorted(seen))), shape=(1, len(self._texts))
        )
        exclude = past if surface == "explore" else None
        labels, scores = self._model.predict(vector, k, exclude=exclude)
        return [
            Suggestion(self._texts[label], self._kinds[label], float(score), int(label) in seen)
            for label, score in zip(labels[0], scores[0], strict=True)
            if label >= 0
        ]

    def _past_labels(self, trail: pa.Table) -> set[int]:
        wanted = self._vertical.label_actions
        past = set()
        for row in trail.to_pylist():
            if row["action"] in wanted:
                kind = "query" if self._vertical.actions[row["action"]] == "query" else "entity"
                fields = ("query",) if kind == "query" else ("company", "title")
                text = entity_text(
                    **{field: row[field] for field in fields},
                    posting_label=self._vertical.posting_label,
                )
                past.add(self._numbers.get((kind, text), -1))
        return past - {-1}


class Suggester:
    """A fine-tuned encoder and its Slice classifiers, ready for single trails.

    Args:
        embedder: turns trails into vectors.
        model: predicts labels from vectors.
        labels: table of the labels, with `text` and `kind`.
        vertical: which actions there are and which make labels.
    """

    def __init__(self, embedder: Embedder, model: Slice, labels: pa.Table, vertical: Vertical):
        self._embedder, self._labels = embedder, LabelRanker(model, labels, vertical)

    @classmethod
    def open(
        cls, encoder: Path, model: Slice, examples: Path, vertical: Vertical, embed: EmbedConfig
    ) -> Self:
        """Open what a run trained: its fine-tuned encoder, one of its Slices and its labels."""
        return cls(Embedder.load(encoder, embed), model, read_labels(examples), vertical)

    def suggest(self, trail: pa.Table, k: int, surface: Surface) -> list[Suggestion]:
        """Return the k best suggestions after a trail; see `LabelRanker.best`."""
        document = trail_document(self._embedder.vocabulary, rendered_sessions(trail))
        return self._labels.best(self._embedder.embed([document]), trail, k, surface)


def trail_document(words: Vocabulary, sessions: Sequence[Sequence[str]]) -> NDArray[np.int32]:
    """Return a trail's int32 subwords, sessions closed by [SEP].

    Args:
        words: of the encoder.
        sessions: texts of the actions, session by session.
    """
    separator = np.array([words.sep], np.int32)
    encoded = iter(words.encode_batch([text for session in sessions for text in session]))
    pieces = [np.zeros(0, np.int32)]
    for session in sessions:
        pieces += [*(next(encoded) for _ in session), separator]
    return np.concatenate(pieces)


def read_trail(sessions: Path, member_id: str) -> pa.Table:
    """Return a member's rows of the sessions, in order.

    Raises:
        ExtremeError: there is no such member.
    """
    for part in session_parts(sessions):
        rows = pq.read_table(part, filters=[("member_id", "=", member_id)], columns=TRAIL_COLUMNS)
        if len(rows):
            return rows.sort_by([("ts", "ascending"), ("sequence", "ascending")])
    raise ExtremeError(f"{sessions}: holds no member {member_id!r}")


def read_visitor(actions: Path, vertical: Vertical, activity: ActivityConfig) -> pa.Table:
    """Return a visitor's trail from a file of actions (CSV, JSON lines or Parquet).

    Only `action` and the texts it carries are needed. Missing times are taken as a minute apart,
    a missing channel as the vertical's first, missing member ids as one visitor.

    Raises:
        ExtremeError: the file cannot be read, holds more than one member, or has an unusable row.
    """
    table = _complete(_read_table(actions), vertical)
    if table["member_id"].nunique() > 1:
        raise ExtremeError(f"{actions}: holds more than one member; give the actions of one")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        completed = place / f"{actions.stem}.parquet"
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), completed)
        source = FilesConfig(path=str(completed), format="parquet")
        try:
            ingest_files(source, vertical, place / "feed", quarantine_limit=0.0)
        except ActivityError as error:
            raise ExtremeError(str(error).replace(str(completed), str(actions))) from error
        write_sessions(place / "feed" / "actions", place / "sessions", activity)
        return read_trail(place / "sessions", str(table["member_id"].iloc[0]))


def rendered_sessions(trail: pa.Table) -> list[list[str]]:
    """Return the texts of a trail's actions, session by session (paper, Figure 2)."""
    sessions: dict[int, list[str]] = {}
    for row in trail.to_pylist():
        text = action_text(row["action"], row["query"], row["company"], row["title"])
        sessions.setdefault(row["session"], []).append(text)
    return list(sessions.values())


def _read_table(path: Path) -> pd.DataFrame:
    readers = {
        ".csv": lambda: pd.read_csv(path, dtype="string"),
        ".jsonl": lambda: pd.read_json(path, lines=True),
        ".parquet": lambda: pd.read_parquet(path),
    }
    if path.suffix not in readers:
        raise ExtremeError(f"{path}: not a .csv, .jsonl or .parquet file")
    try:
        table = readers[path.suffix]()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ExtremeError(f"{path}: cannot be read: {error}") from error
    if not len(table):
        raise ExtremeError(f"{path}: holds no actions")
    if "action" not in table:
        raise ExtremeError(f"{path}: has no column 'action'")
    return table


def _complete(table: pd.DataFrame, vertical: Vertical) -> pd.DataFrame:
    filled = {
        "member_id": VISITOR,
        "ts": np.arange(1, len(table) + 1) * MICROSECONDS_PER_MINUTE + 1_500_000_000_000_000,
        "channel": vertical.channels[0],
        "query": None,
        "company": None,
        "title": None,
        "item_id": None,
    }
    missing = {name: value for name, value in filled.items() if name not in table}
    texts = ("member_id", "channel", "action", "query", "company", "title", "item_id")
    return table.assign(**missing).astype(dict.fromkeys(texts, "string"))
