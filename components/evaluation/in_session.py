"""In-session vectors: does what somebody does now tell what he does next, better than his day did?

A moment is a place inside a session of a test member's target period: something of the session has
been done, and the next action has an entity (a search's query, or the posting of another label
action) that is a known label. That entity is to be predicted, from

- the daily vector: of the sessions that ended before the day (UTC) on which this one began, which
  is all that a daily run can know;
- the vector of the whole trail up to the moment, as an update after each action would have it;
- in-session vectors: of the last K actions up to the moment (paper, section 6);
- the daily and an in-session vector together, each of length 1, weighted;

and, as a floor, by the trail's labels, the most recent first. All vectors are ranked by the run's
own Slices. Which Slice serves a kind of vector, and the weight, is chosen on validation members.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from numpy.typing import NDArray

from components.activity.config import Vertical
from components.baselines.floors import repeat
from components.encoder.config import EmbedConfig
from components.encoder.embed import Embedder
from components.encoder.in_session import last_actions
from components.evaluation.config import EvaluationConfig
from components.evaluation.context_tables import (
    ANY,
    BOTH,
    CUTOFFS,
    DAILY,
    MEASURED,
    NEW,
    RECENT,
    SO_FAR,
)
from components.evaluation.metrics import difference_interval, mean_interval
from components.extreme.slice import Slice
from components.extreme.training_sets import TRAINING_SETS
from components.files import whole_directory
from components.labels.examples import SPLITS, Examples
from components.labels.trails import ENTITY, QUERY
from components.text.documents import Tokens
from components.text.render import entity_text
from components.text.vocabulary import Vocabulary, session_parts

DEPTH = 100
WEIGHTS = (0.25, 0.5, 0.75)
DAY = 86_400_000_000
MEMBERS = {"validation": 200, "test": 500}
MOMENTS_PER_MEMBER = 3
_COLUMNS = ["member_id", "session", "ts", "action", "query", "company", "title"]

logger = logging.getLogger(__name__)


class Moments(NamedTuple):
    """Places in sessions under way.

    Attributes:
        member: int64[n], number of the member, ascending.
        label: int32[n], of the next action.
        past: int32 CSR [n, L], recency rank of the labels of the trail up to the moment.
        daily: int32 subwords of the sessions before the day.
        now: int32 subwords of the whole trail up to the moment, closed by [SEP].
    """

    member: NDArray[np.int64]
    label: NDArray[np.int32]
    past: sp.csr_matrix
    daily: list[NDArray[np.int32]]
    now: list[NDArray[np.int32]]


def compare_in_session(
    encoder: Path,
    sessions: Path,
    tokens: Path,
    examples: Path,
    slices: Path,
    target: Path,
    *,
    vertical: Vertical,
    embed: EmbedConfig,
    config: EvaluationConfig,
    seed: int,
) -> dict[str, list[dict]]:
    """Compare daily and in-session vectors at predicting the next action's entity.

    Args:
        encoder: directory written by `finetune`.
        sessions: directory of session parts.
        tokens: directory written by `write_tokens` of them.
        examples: directory written by `build_examples` of them.
        slices: directory written by `train_slices`.
        target: directory to write `measured.json` into; all or nothing, and empty where no test
            member has such a moment.
        vertical: which actions have labels.
        embed: how vectors are made.
        config: last actions of the in-session vectors, resamples of the intervals.
        seed: of the draws of members and moments, and of the intervals.

    Returns:
        What is written, the tables `in_session` (share of moments whose entity is among the first
        1, which is P@1, 3 and 5, and the mean reciprocal rank; for all moments, and for those whose
        entity the trail does not hold, where past labels are excluded; 95% intervals over members)
        and `in_session_differences` (from the daily vector, on the same members).
    """
    data, corpus = Examples.open(examples), Tokens.open(tokens)
    embedder = Embedder.load(encoder, embed)
    sides = {
        side: find_moments(data, corpus, sessions, embedder.vocabulary, vertical, side, seed=seed)
        for side in MEMBERS
    }
    with whole_directory(target) as directory:
        if not len(sides["test"].label):
            return {}
        models = {
            name: Slice.load(slices / name) for name in TRAINING_SETS if (slices / name).is_dir()
        }
        asked = {
            side: _Asked.of(own, embedder, config.recent_actions) for side, own in sides.items()
        }
        result: dict[str, list[dict]] = {"in_session": [], "in_session_differences": []}
        for task in (ANY, NEW):
            if task == NEW:
                asked = {side: own.of_new_labels() for side, own in asked.items()}
            member = asked["test"].member
            if len(member):
                ranks = _reciprocal_ranks(asked, models, repeats=task == ANY)
                how = (ranks, member, task, config.resamples, seed)
                result["in_session"] += _rows(*how)
                result["in_session_differences"] += _differences(*how)
        (directory / MEASURED).write_text(json.dumps(result, indent=1) + "\n")
    logger.info("in-session moments=%d", len(sides["test"].label))
    return result


def find_moments(
    data: Examples,
    corpus: Tokens,
    sessions: Path,
    words: Vocabulary,
    vertical: Vertical,
    side: str,
    *,
    seed: int,
) -> Moments:
    """Draw moments in the target periods of one side's members.

    Args:
        data: labels, and where members' targets are.
        corpus: documents.
        sessions: directory of session parts.
        words: of the documents.
        vertical: which actions have labels.
        side: "validation" or "test".
        seed: of the draws of members, and of each member's moments.
    """
    rows = np.flatnonzero(data.table["split"] == SPLITS[side])
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[: MEMBERS[side]])
    example_of = {data.table["member_id"][row]: int(row) for row in rows}
    document_of = dict(zip(example_of, corpus.rows(list(example_of)).tolist(), strict=True))
    label_of = _labels(data, vertical)
    found: list[tuple] = []
    for member, trail in _trails(sessions, list(example_of)):
        row = example_of[member]
        numbers = np.array(
            [label_of(*texts) for texts in zip(*(trail[c] for c in _COLUMNS[3:]), strict=True)]
        )
        session = np.array(trail["session"]) - 1
        first, end = data.table["context_end"][row], data.table["target_end"][row]
        under_way = np.append(False, session[1:] == session[:-1])
        places = np.flatnonzero(under_way & (numbers >= 0) & (session >= first) & (session < end))
        draw = np.random.default_rng([seed, row])
        for place in np.sort(draw.permutation(places)[:MOMENTS_PER_MEMBER]):
            known = _known(corpus, words, vertical, document_of[member], trail, int(place))
            found.append((row, numbers[place], numbers[:place], *known))
    if not found:
        nothing = np.zeros(0, np.int32)
        none = sp.csr_matrix((0, len(data.label_texts)), dtype=np.int32)
        return Moments(nothing.astype(np.int64), nothing, none, [], [])
    found.sort(key=lambda moment: moment[0])
    owner, label, before, daily, now = zip(*found, strict=True)
    return Moments(
        np.array(owner, np.int64),
        np.array(label, np.int32),
        _recency(before, len(data.label_texts)),
        list(daily),
        list(now),
    )


def _trails(sessions: Path, members: Sequence[str]) -> Iterator[tuple[str, dict[str, list]]]:
    wanted = [("member_id", "in", members)]
    for part in session_parts(sessions):
        table = pq.read_table(part, columns=_COLUMNS, filters=wanted)
        ids = table["member_id"].combine_chunks().dictionary_encode()
        bounds = np.searchsorted(ids.indices.to_numpy(), np.arange(len(ids.dictionary) + 1))
        for member, start, end in zip(ids.dictionary.to_pylist(), bounds, bounds[1:], strict=False):
            yield member, _columns(table.slice(start, end - start))


def _columns(trail: pa.Table) -> dict[str, list]:
    return {name: trail[name].to_pylist() for name in _COLUMNS}


def _labels(data: Examples, vertical: Vertical) -> Callable[..., int]:
    named = zip(data.label_kinds, data.label_texts, strict=True)
    numbers = {label: number for number, label in enumerate(named)}

    @lru_cache(maxsize=1 << 20)
    def label_of(action: str, query: str | None, company: str | None, title: str | None) -> int:
        if action not in vertical.label_actions:
            return -1
        if vertical.actions[action] == "query":
            return numbers.get((QUERY, entity_text(query=query)), -1)
        text = entity_text(company=company, title=title, posting_label=vertical.posting_label)
        return numbers.get((ENTITY, text), -1)

    return label_of


def _known(
    corpus: Tokens,
    words: Vocabulary,
    vertical: Vertical,
    row: int,
    trail: Mapping[str, list],
    place: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the daily document and the document up to, without, the action at `place`."""
    session = trail["session"][place] - 1
    first = trail["session"].index(session + 1)
    midnight = trail["ts"][first] // DAY * DAY
    over = int(np.searchsorted(corpus.session_end(row)[:session], midnight))
    done = sum(
        corpus.sequence == "action" or vertical.actions[action] == "query"
        for action in trail["action"][first:place]
    )
    current = corpus.document(row, session, session + 1)
    starts = np.append(np.flatnonzero(np.isin(current, words.action_ids)), len(current) - 1)
    current = np.append(current[: starts[done]], words.sep) if done else current[:0]
    before = corpus.document(row, 0, session)
    return np.array(corpus.document(row, 0, over)), np.concatenate([before, current])


def _recency(before: Sequence[NDArray[np.int64]], labels: int) -> sp.csr_matrix:
    """Rank each row's labels by last occurrence, from 1, as `Examples.context` does."""
    rows = []
    for numbers in before:
        known = numbers[numbers >= 0][::-1]
        _, last = np.unique(known, return_index=True)
        recent_first = known[np.sort(last)]
        rows.append(recent_first[::-1])
    offsets = np.cumsum([0, *map(len, rows)])
    ranks = np.concatenate([np.arange(1, len(row) + 1) for row in rows])
    matrix = sp.csr_matrix(
        (ranks.astype(np.int32), np.concatenate(rows).astype(np.int32), offsets),
        (len(rows), labels),
    )
    matrix.sort_indices()
    return matrix


class _Asked(NamedTuple):
    """Moments of one side, and their vectors by kind."""

    member: NDArray[np.int64]
    label: NDArray[np.int32]
    past: sp.csr_matrix
    vectors: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, moments: Moments, embedder: Embedder, recent: Sequence[int]) -> "_Asked":
        ids = embedder.vocabulary.action_ids
        documents = {DAILY: moments.daily, SO_FAR: moments.now} | {
            _last(k): [last_actions(one, ids, k) for one in moments.now] for k in recent
        }
        vectors = {kind: embedder.embed(own) for kind, own in documents.items()}
        return cls(moments.member, moments.label, moments.past, vectors)

    def of_new_labels(self) -> "_Asked":
        """Keep the moments whose label the trail does not hold."""
        every = np.arange(len(self.label))
        kept = every[np.asarray(self.past[every, self.label]).ravel() == 0] if len(every) else every
        vectors = {kind: own[kept] for kind, own in self.vectors.items()}
        return _Asked(self.member[kept], self.label[kept], self.past[kept], vectors)


def _last(k: int) -> str:
    return f"last {k} actions"


def _reciprocal_ranks(
    sides: Mapping[str, _Asked], models: Mapping[str, Slice], *, repeats: bool
) -> dict[str, NDArray]:
    """Return the reciprocal rank of each test moment's label by method; 0 beyond DEPTH."""
    in_session = [kind for kind in sides["test"].vectors if kind not in (DAILY, SO_FAR)]
    mixtures = {kind: [{kind: 1.0}] for kind in (DAILY, SO_FAR, *in_session)} | {
        BOTH: [{DAILY: 1 - share, kind: share} for kind in in_session for share in WEIGHTS]
    }

    def ranked(side: str, model: Slice, mixture: Mapping[str, float]) -> NDArray:
        asked = sides[side]
        x = np.sum([w * _unit(asked.vectors[kind]) for kind, w in mixture.items()], axis=0)
        exclude = None if repeats else asked.past
        found, _ = model.predict(x, min(DEPTH, model.label_count), exclude=exclude)
        return _reciprocal(found, asked.label)

    def chosen(candidates: Sequence[Mapping[str, float]]) -> NDArray:
        pairs = [(model, mixture) for mixture in candidates for model in models.values()]
        if len(sides["validation"].label):
            pairs.sort(key=lambda pair: -ranked("validation", *pair).mean())
        return ranked("test", *pairs[0])

    ranks = {method: chosen(candidates) for method, candidates in mixtures.items()}
    if not repeats:
        return ranks
    test = sides["test"]
    found, _ = repeat(test.past, min(DEPTH, test.past.shape[1]))
    return {RECENT: _reciprocal(found, test.label)} | ranks


def _unit(x: NDArray) -> NDArray:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms > 0, norms, 1)


def _reciprocal(found: NDArray[np.int32], label: NDArray[np.int32]) -> NDArray:
    right = found == label[:, None]
    return np.where(right.any(axis=1), 1 / (1 + right.argmax(axis=1)), 0.0)


def _figures(ranks: NDArray, member: NDArray[np.int64]) -> dict[str, NDArray]:
    """Return the figures of each member, the mean over his moments."""
    _, own = np.unique(member, return_inverse=True)
    moments = np.bincount(own)
    by_moment = {f"hit@{k}": ranks * k >= 1 for k in CUTOFFS} | {"mrr": ranks}
    return {name: np.bincount(own, weights=values) / moments for name, values in by_moment.items()}


def _rows(
    ranks: Mapping[str, NDArray], member: NDArray[np.int64], task: str, resamples: int, seed: int
) -> list[dict]:
    rows = []
    for method, own in ranks.items():
        row: dict = {"method": method, "next": task}
        for name, figure in _figures(own, member).items():
            mean, low, high = mean_interval(figure, resamples=resamples, seed=seed)
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {"n": len(own), "members": len(np.unique(member))})
    return rows


def _differences(
    ranks: Mapping[str, NDArray], member: NDArray[np.int64], task: str, resamples: int, seed: int
) -> list[dict]:
    daily = _figures(ranks[DAILY], member)
    rows = []
    for method, own in ranks.items():
        if method == DAILY:
            continue
        for name, figure in _figures(own, member).items():
            mean, low, high = difference_interval(
                figure, daily[name], resamples=resamples, seed=seed
            )
            rows.append(
                {
                    "method": method,
                    "against": DAILY,
                    "next": task,
                    "figure": name,
                    "difference": mean,
                    "low": low,
                    "high": high,
                }
            )
    return rows
