"""The audience of a posting, from the whole trails of a run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.audience.catalogue import Catalogue, Posting
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
from components.text.render import action_text

if TYPE_CHECKING:
    from components.encoder.embed import Embedder

NEAR_TITLE = "similar to a member who has only applied to this posting"


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
        catalogue: Catalogue,
        about: dict,
        embedder: "Embedder | None" = None,
    ):
        """See `open`."""
        self.config = AudienceConfig(**about["config"])
        self.index, self._matches, self._tables = index, matches, tables
        self._reranker, self._catalogue = reranker, catalogue
        self._embedder = embedder
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
        embedder: "Embedder | None" = None,
    ) -> Self:
        """Open what a run made.

        Args:
            model: directory written by `train_audience`.
            index: of everybody's whole trail, written by `build_index`.
            entities: everybody's predicted entities, written by `predict_entities`.
            examples: directory written by `build_examples`, for the labels.
            features: tables as of now, written by `build_tables` without examples.
            feed: whose catalogue counts; the one of the training when not given.
            embedder: which made the vectors. With it a posting that nobody matches exactly goes to
                those nearest to the vector of an application to it, else to nobody. (Of the test
                members of `quickstart` who applied to such a posting half are then found, as
                precisely as elsewhere.)

        Raises:
            AudienceError: the run has no audience, a file is missing or damaged, or the embedder is
                of another version; names it.
            NeighboursError: the index is damaged, or of another encoder's vectors.
        """
        about = _read_about(model)
        neighbours = Neighbours.open(index, encoder=about["encoder"])
        if embedder is not None and embedder.version != neighbours.encoder:
            raise AudienceError(
                f"{index}: holds vectors of encoder {neighbours.encoder}, not of {embedder.version}"
            )
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
        catalogue = Catalogue(postings, applied)
        return cls(neighbours, matches, tables, reranker, catalogue, about, embedder)

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
            AudienceError: there is no such posting, or it is no longer in the catalogue, or a value
                is impossible; names it.
        """
        company, title, item_ids = self._catalogue.find(posting)
        if at_least is None and self._reranker is not None:
            at_least = self.config.reranked_at_least
        given = {"mechanism": mechanism, "neighbours": neighbours, "at_least": at_least}
        config = self._configured({k: v for k, v in given.items() if v is not None})
        match = self._visible(self._matches.of(company, title))
        unmatched, note = None, ""
        if not len(match.rows):
            unmatched, note = self._of_posting(company, title)
        pool = retrieve(self.index, [match], config, unmatched=unmatched)
        candidates = self._ranked(pool, item_ids[0])[:most]
        return Expansion(
            company, title, item_ids, len(match.rows), self._ranked_by, note, candidates
        )

    def _configured(self, given: dict) -> AudienceConfig:
        try:
            return AudienceConfig(**self.config.model_dump() | given)
        except ValueError as error:
            raise AudienceError(f"impossible question: {error}") from error

    def _ranked(self, pool: Pool, item_id: str) -> list[Candidate]:
        score = pool.similarity
        if self._reranker is not None:
            score = self._reranker.score(self._features(pool, item_id))
            kept = score >= self._reranker.threshold
            pool, score = pool.select(kept), score[kept]
        return [
            Candidate(
                self._ids[pool.row[at]],
                float(score[at]),
                float(pool.similarity[at]),
                bool(pool.exact[at]),
                _why(pool, at),
            )
            for at in np.lexsort((pool.row, -score))
        ]

    def _of_posting(self, company: str | None, title: str) -> tuple[np.ndarray | None, str]:
        """Return a query vector for a posting that nobody matches, and what to say about it."""
        nobody = "nobody matches this posting exactly: "
        if self._embedder is None:
            return None, nobody + "it has no audience"
        words = self._embedder.vocabulary
        text = action_text(self.config.applied[0], company=company, title=title)
        document = np.concatenate([*words.encode_batch([text]), np.array([words.sep], np.int32)])
        note = nobody + "its audience is who is nearest to the vector of an application to it"
        return self._embedder.embed([document]), note

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
    if not reasons:
        reasons.append("similar to the members who match best" if pool.anchors[at] else NEAR_TITLE)
    return ", ".join(reasons)


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
