"""Members' queries in time order, and the postings that were clicked after each.

A query and its clicks are a turn. The clicks of a query are the actions on postings that follow it
in the same session, before the next query: the papers know nothing else of a member, and what was
done outside a search, or before the session's first query, is not read.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.activity.config import Vertical
from components.baselines.sequence_config import SequenceConfig
from components.progress import progress
from components.text.ragged import ragged_positions, run_starts, whole_member_batches
from components.text.render import normalise
from components.text.vocabulary import session_parts

PAD, UNKNOWN, BEGIN, END = range(4)
_SPECIAL = ("[PAD]", "[UNK]", "[BEGIN]", "[END]")
_COLUMNS = ["member_id", "session", "action", "query", "title"]
_ROWS_AT_ONCE = 500_000


class Turns(NamedTuple):
    """What members searched for and clicked.

    Attributes:
        rows: place of each member who searched.
        offsets: int64[M + 1], where a member's turns start.
        session: int32[T], 0-based session of a turn.
        query: int32[T], number of its text.
        clicked: int32[T, clicks], numbers of the titles clicked; 0 for none.
        queries: rendered texts by number.
        titles: likewise; the first is empty.
    """

    rows: dict[str, int]
    offsets: NDArray[np.int64]
    session: NDArray[np.int32]
    query: NDArray[np.int32]
    clicked: NDArray[np.int32]
    queries: list[str]
    titles: list[str]


def read_turns(sessions: Path, vertical: Vertical, *, clicks: int) -> Turns:
    """Read every member's turns from session parts.

    Args:
        sessions: directory of session parts.
        vertical: which actions are queries.
        clicks: clicks of a turn to keep, the first ones.

    Raises:
        TextError: there are no parts, or one cannot be read or is not sorted by member.
    """
    is_query = {name for name, kind in vertical.actions.items() if kind == "query"}
    queries, titles = _Numbers(), _Numbers()
    titles.of([""])
    members: list[str] = []
    pieces = []
    parts = session_parts(sessions)
    with progress("read queries", total=len(parts)) as bar:
        for part in parts:
            for batch in whole_member_batches(part, _COLUMNS, rows=_ROWS_AT_ONCE):
                found, *piece = _turns(batch, is_query, queries, titles, clicks)
                members += found
                pieces.append(piece)
            bar.advance(queries=len(queries.texts))
    counts, session, query, clicked = (
        np.concatenate(column) for column in zip(*pieces, strict=True)
    )
    return Turns(
        rows={member: row for row, member in enumerate(members)},
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        session=session.astype(np.int32),
        query=query.astype(np.int32),
        clicked=clicked.astype(np.int32),
        queries=queries.texts,
        titles=titles.texts,
    )


class Lexicon(NamedTuple):
    """Words and their ids, and the texts of the turns in them.

    Ids below `targets` can be written by a decoder, those below `known` can be read; a word of a
    query with a higher id can only be copied.

    Attributes:
        words: by id.
        targets: special words and the frequent words of queries.
        known: these and the frequent words of titles.
        queries: int32[Q, words], ids of each query's words; `PAD` behind them.
        titles: int32[D, words], likewise, `UNKNOWN` for what cannot be read.
    """

    words: list[str]
    targets: int
    known: int
    queries: NDArray[np.int32]
    titles: NDArray[np.int32]

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of the ids before the first `END` or `PAD`."""
        words = []
        for number in ids:
            if number in (END, PAD):
                break
            words.append(self.words[number])
        return " ".join(words)


def learn_lexicon(turns: Turns, members: NDArray[np.int64], config: SequenceConfig) -> Lexicon:
    """Choose the words that a model knows from some members' turns.

    Args:
        turns: everybody's.
        members: places of the members who train, [m].
        config: how many words, and how frequent.
    """
    starts = turns.offsets[members]
    chosen = ragged_positions(starts, turns.offsets[members + 1] - starts)
    words = list(_SPECIAL)
    words += _frequent(turns.queries, turns.query[chosen], config)
    targets = len(words)
    written = set(words)
    titles = _frequent(turns.titles, turns.clicked[chosen].ravel(), config)
    words += [word for word in titles if word not in written]
    ids = {word: number for number, word in enumerate(words)}
    known = len(words)
    read = _matrix([[ids.get(w, UNKNOWN) for w in title.split()] for title in turns.titles], config)
    for query in turns.queries:
        for word in query.split():
            ids.setdefault(word, len(ids))
    spelt = _matrix([[ids[word] for word in query.split()] for query in turns.queries], config)
    return Lexicon(list(ids), targets, known, spelt, read)


class _Numbers:
    """Numbers rendered texts; every spelling is rendered once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._rendered: dict[str, int] = {}
        self._spelt: dict[str | None, int] = {}

    def of(self, spellings: Sequence[str | None]) -> NDArray[np.int64]:
        numbers = []
        for spelling in spellings:
            number = self._spelt.get(spelling)
            if number is None:
                text = normalise(spelling or "")
                number = self._rendered.setdefault(text, len(self.texts))
                if number == len(self.texts):
                    self.texts.append(text)
                self._spelt[spelling] = number
            numbers.append(number)
        return np.array(numbers, np.int64)

    def of_column(self, column: pa.Array) -> NDArray[np.int64]:
        encoded = column.dictionary_encode()
        values = [*encoded.dictionary.to_pylist(), None]
        codes = encoded.indices.fill_null(len(values) - 1).to_numpy()
        return self.of(values)[codes]


def _turns(
    batch: pa.RecordBatch, is_query: set[str], queries: _Numbers, titles: _Numbers, clicks: int
) -> tuple:
    """Return who searched, their counts of turns, and sessions, queries and clicks of the turns."""
    query, title = queries.of_column(batch.column("query")), titles.of_column(batch.column("title"))
    actions = batch.column("action").dictionary_encode()
    searches = np.array([name in is_query for name in actions.dictionary.to_pylist()], bool)
    searches = searches[actions.indices.to_numpy()]
    opens = np.flatnonzero(searches & np.array([bool(t) for t in queries.texts])[query])
    starts = run_starts(batch.column("member_id"))
    member = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(batch))))
    session = batch.column("session").to_numpy() - 1
    clicked = np.zeros((len(opens), clicks), np.int64)
    if len(opens):
        click = np.flatnonzero(~searches & (title > 0))
        turn = np.searchsorted(opens, click) - 1
        # A click before the member's, or the session's, first query belongs to no query.
        asked = opens[turn]
        own = (turn >= 0) & (member[asked] == member[click]) & (session[asked] == session[click])
        click, turn = click[own], turn[own]
        place = np.arange(len(turn)) - np.searchsorted(turn, turn)
        first = place < clicks
        clicked[turn[first], place[first]] = title[click[first]]
    counts = np.bincount(member[opens], minlength=len(starts))
    found = batch.column("member_id").take(pa.array(starts[counts > 0])).to_pylist()
    return found, counts[counts > 0], session[opens], query[opens], clicked


def _frequent(
    texts: Sequence[str], numbers: NDArray[np.int32], config: SequenceConfig
) -> list[str]:
    """Return the words of occurring texts, most frequent first."""
    counts: Counter[str] = Counter()
    times = np.bincount(numbers, minlength=len(texts))
    for text in np.flatnonzero(times).tolist():
        for word in texts[text].split():
            counts[word] += int(times[text])
    kept = [word for word, count in counts.items() if count >= config.minimum_count]
    return sorted(kept, key=lambda word: (-counts[word], word))[: config.vocabulary]


def _matrix(texts: Sequence[Sequence[int]], config: SequenceConfig) -> NDArray[np.int32]:
    matrix = np.full((len(texts), config.words), PAD, np.int32)
    for row, ids in enumerate(texts):
        kept = ids[: config.words]
        matrix[row, : len(kept)] = kept
    return matrix
