"""The audience of a posting, from the whole trails of a run."""

import json
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.audience.config import AudienceConfig, Mechanism
from components.audience.errors import AudienceError
from components.audience.matches import ExactMatches, Matches, Predictions
from components.audience.offline import titles_of
from components.audience.reranker import Reranker, candidate_features, feature_names
from components.audience.retrieval import Pool, retrieve
from components.audience.trails import read_postings
from components.audience.training import ABOUT, APPLIED, HEADLINES, POSTINGS
from components.features.tables import FeatureTables
from components.labels.examples import read_labels
from components.neighbours.index import Neighbours
from components.text.render import entity_text, normalise

Posting = str | tuple[str | None, str]
"""An item_id, or a company and a title; without a company, the title wherever it is offered."""


class Candidate(NamedTuple):
    """A member to notify of a posting.

    Attributes:
        member_id: of the member.
        score: of the re-ranker, or the similarity where there is none; higher is better.
        similarity: cosine of the member's vector with the posting's query vector.
        exact: whether the posting's own words name the member.
        why: in words.
    """

    member_id: str
    score: float
    similarity: float
    exact: bool
    why: str


class Expansion(NamedTuple):
    """The audience of one posting.

    Attributes:
        company: of the posting.
        title: of the posting.
        item_ids: all postings of this company with this title, or with this title.
        anchors: members who match exactly.
        ranked_by: "reranker", or "similarity" and why.
        note: what a reader should know, such as that nobody matches; else empty.
        candidates: best first.
    """

    company: str | None
    title: str
    item_ids: list[str]
    anchors: int
    ranked_by: str
    note: str
    candidates: list[Candidate]


class Audience:
    """Everything that is needed to name a posting's audience, opened once.

    Attributes:
        config: of the training, the default of every question.
        index: of the members' vectors; whoever is removed from it is in no audience from then on.
    """

    def __init__(
        self,
        index: Neighbours,
        matches: ExactMatches,
        tables: FeatureTables,
        reranker: Reranker | None,
        catalogue: "_Catalogue",
        about: dict,
    ):
        """See `open`."""
        self.config = AudienceConfig(**about["config"])
        self.index, self._matches, self._tables = index, matches, tables
        self._reranker, self._catalogue = reranker, catalogue
        self._ranked_by: str = about["ranked_by"]
        self._ids: list[str] = index.member_ids.to_pylist()
        self._member_rows = tables.member_rows(self._ids)

    @classmethod
    def open(
        cls,
        model: Path,
        *,
        index: Path,
        entities: Path,
        examples: Path,
        features: Path,
        feed: Path | None = None,
    ) -> Self:
        """Open what a run made.

        Args:
            model: directory written by `train_audience`.
            index: of everybody's whole trail, written by `build_index`.
            entities: everybody's predicted entities, written by `predict_entities`.
            examples: directory written by `build_examples`, for the labels.
            features: tables as of now, written by `build_tables` without examples.
            feed: whose catalogue counts; the one of the training when not given.

        Raises:
            AudienceError: the run has no audience, or a file is missing or damaged; names it.
            NeighboursError: the index is damaged, or of another encoder's vectors.
        """
        about = _read_about(model)
        neighbours = Neighbours.open(index, encoder=about["encoder"])
        tables = FeatureTables.open(features)
        reranker = Reranker.open(model) if about["reranker"] else None
        if reranker is not None and reranker.names != feature_names(tables):
            raise AudienceError(f"{features}: has other features than {model} was trained on")
        applied, headlines = (_read(model / name) for name in (APPLIED, HEADLINES))
        postings = _read(model / POSTINGS) if feed is None else read_postings(feed)
        matches = ExactMatches(
            len(neighbours),
            applied=titles_of(neighbours, applied["member_id"], applied["title"], applied["times"]),
            headlines=titles_of(neighbours, headlines["member_id"], headlines["headline"]),
            predictions=_predictions(neighbours, _read(entities)),
            labels=read_labels(examples),
        )
        return cls(neighbours, matches, tables, reranker, _Catalogue(postings, applied), about)

    def expand(
        self,
        posting: Posting,
        *,
        mechanism: Mechanism | None = None,
        neighbours: int | None = None,
        at_least: float | None = None,
        most: int | None = None,
    ) -> Expansion:
        """Name a posting's audience: exact matches and their neighbours, re-ranked, thresholded.

        Postings of the same company and title have one audience. Removed members are in none.

        Args:
            posting: its item_id, its company and title, or None and a title: then all postings with
                the title have one audience, the first of them standing for all.
            mechanism: of the query vector; the configured one when not given, as all below.
            neighbours: most that are retrieved.
            at_least: smallest cosine of a neighbour with the query vector.
            most: candidates returned; all of them when not given.

        Raises:
            AudienceError: there is no such posting, or it is no longer in the catalogue; names it.
        """
        company, title, item_ids = self._catalogue.find(posting)
        if at_least is None and self._reranker is not None:
            at_least = self.config.reranked_at_least
        given = {"mechanism": mechanism, "neighbours": neighbours, "at_least": at_least}
        config = AudienceConfig(
            **self.config.model_dump() | {k: v for k, v in given.items() if v is not None}
        )
        match = self._visible(self._matches.of(company, title))
        note = "" if len(match.rows) else "nobody matches this posting exactly: it has no audience"
        pool = retrieve(self.index, [match], config)
        score = pool.similarity
        if self._reranker is not None:
            score = self._reranker.score(self._features(pool, item_ids[0]))
            kept = score >= self._reranker.threshold
            pool, score = pool.select(kept), score[kept]
        order = np.lexsort((pool.row, -score))[:most]
        candidates = [
            Candidate(
                self._ids[pool.row[at]],
                float(score[at]),
                float(pool.similarity[at]),
                bool(pool.exact[at]),
                _why(pool, at),
            )
            for at in order
        ]
        return Expansion(
            company, title, item_ids, len(match.rows), self._ranked_by, note, candidates
        )

    def _visible(self, match: Matches) -> Matches:
        return match.select(self.index.rows([self._ids[row] for row in match.rows]) >= 0)

    def _features(self, pool: Pool, item_id: str) -> np.ndarray:
        rows = self._tables.posting_rows([item_id])
        return candidate_features(
            pool,
            self._tables,
            members=self._member_rows[pool.row],
            postings=np.repeat(rows, len(pool.row)),
            ts=np.full(len(pool.row), self._tables.as_of),
            neighbours=self.config.neighbours,
        )


class _Names(NamedTuple):
    """Postings by id, and the ids of each company's title and of each title."""

    by_id: dict[str | None, tuple[str | None, str]]
    by_entity: dict[str, list[str]]
    by_title: dict[str, list[str]]

    @classmethod
    def of(cls, postings: pa.Table) -> Self:
        names = cls({}, {}, {})
        columns = (postings[name].to_pylist() for name in ("item_id", "company", "title"))
        for item, company, title in zip(*columns, strict=True):
            if title and item not in names.by_id:
                names.by_id[item] = (company, title)
                entity = entity_text(company=company, title=title)
                names.by_entity.setdefault(entity, []).append(item)
                names.by_title.setdefault(normalise(title), []).append(item)
        return names

    def find(self, posting: Posting) -> list[str]:
        """Return the ids of all postings that are asked for."""
        if isinstance(posting, str):
            if posting not in self.by_id:
                return []
            company, title = self.by_id[posting]
        else:
            company, title = posting
            if not company:
                return self.by_title.get(normalise(title), [])
        return self.by_entity.get(entity_text(company=company, title=title), [])


class _Catalogue:
    """The postings that there are, and those that members once applied to."""

    def __init__(self, postings: pa.Table, applied: pa.Table):
        self._now, self._once = _Names.of(postings), _Names.of(applied)

    def find(self, posting: Posting) -> tuple[str | None, str, list[str]]:
        """Return company, title and all item_ids of a posting."""
        item_ids = self._now.find(posting)
        if item_ids:
            company, title = self._now.by_id[item_ids[0]]
            anywhere = not isinstance(posting, str) and not posting[0]
            return None if anywhere else company, title, item_ids
        if isinstance(posting, str):
            said = posting
        else:
            said = repr(posting[1]) + (f" at {posting[0]!r}" if posting[0] else "")
        if self._once.find(posting):
            raise AudienceError(
                f"posting {said} was removed: members applied to it, but it is no longer in the "
                "catalogue"
            )
        raise AudienceError(f"the catalogue has no posting {said}, and nobody ever applied to it")


def _predictions(index: Neighbours, entities: pa.Table) -> Predictions:
    rows = index.rows(entities["member_id"].to_pylist())
    lists = entities["labels"].combine_chunks(), entities["scores"].combine_chunks()
    labels, scores = (column.flatten().to_numpy() for column in lists)
    counts = lists[0].value_lengths().fill_null(0).to_numpy()
    return Predictions(np.repeat(rows, counts), labels, scores)


def _why(pool: Pool, at: int) -> str:
    reasons = []
    if pool.applied[at]:
        times = "once" if pool.applied[at] == 1 else f"{pool.applied[at]} times"
        reasons.append(f"applied {times} to postings with this title")
    if pool.posted[at]:
        reasons.append("this posting is predicted")
    if pool.searched[at]:
        reasons.append("a search for this title is predicted")
    if pool.headline[at]:
        reasons.append("the headline is this title")
    return ", ".join(reasons) or "similar to the members who match best"


def _read_about(model: Path) -> dict:
    if model.is_dir() and not any(model.iterdir()):
        raise AudienceError(f"{model}: this run has no audience: its source has no postings")
    try:
        about = json.loads((model / ABOUT).read_text())
        AudienceConfig(**about["config"])
        return {key: about[key] for key in ("encoder", "config", "reranker", "ranked_by")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AudienceError(f"{model / ABOUT}: missing or damaged: {error!r}") from error


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise AudienceError(f"{path}: missing or damaged: {error}") from error
