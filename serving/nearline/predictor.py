"""From finished sessions to the vectors and entities that the daily run would make."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from components.activity.config import ActivityConfig, Vertical
from components.activity.sessions import MICROSECONDS_PER_MINUTE
from components.encoder.config import EmbedConfig
from components.encoder.embed import Embedder
from components.extreme.slice import Slice
from components.labels.examples import read_labels
from components.labels.trails import ENTITY, QUERY
from components.text.render import entity_text
from components.text.tokeniser import COLUMNS, Tokeniser
from components.variants.package import open_package
from serving.nearline.errors import NearlineError
from serving.nearline.messages import Action
from serving.nearline.trail import Trail

SURFACES = ("any", "explore")
REMEMBERED_TEXTS = 100_000


class Update(NamedTuple):
    """Members' trails after further sessions, and what follows from them.

    Attributes:
        trails: one per member.
        moved: places of the members with anything new.
        vectors: float32[m, d], of these.
        late: actions left out, because they came after what they belong to was encoded.
        sessions: sessions taken in.
        encoded: chunks that went through the encoder.
    """

    trails: list[Trail]
    moved: list[int]
    vectors: np.ndarray
    late: int
    sessions: int
    encoded: int


class Predictor:
    """A package of the suggestions service, put to work on finished sessions.

    Attributes:
        embedder: the package's encoder.
        labels: of its Slices, as `read_labels` gives them.
        vertical: which actions there are.
        idle: longest pause within a session, microseconds.
        dataset: store content that its vectors go to.
        identity: of everything that trails depend on.
    """

    def __init__(
        self,
        embedder: Embedder,
        slices: dict[str, Slice],
        labels: pa.Table,
        vertical: Vertical,
        *,
        idle_minutes: int,
        dataset: str,
        identity: str,
    ):
        """Take the parts of a package; `slices` is by surface."""
        self.embedder, self.labels, self.vertical = embedder, labels, vertical
        self.idle, self.identity = idle_minutes * MICROSECONDS_PER_MINUTE, identity
        self.dataset, self._slices = dataset, slices
        self._tokenise = Tokeniser(embedder.vocabulary, remembered=REMEMBERED_TEXTS)
        named = zip(labels["kind"].to_pylist(), labels["text"].to_pylist(), strict=True)
        self._numbers = {label: number for number, label in enumerate(named)}
        self._label = lru_cache(REMEMBERED_TEXTS)(self._find_label)

    @classmethod
    def open(cls, package: Path) -> Self:
        """Open a suggestions package.

        Raises:
            NearlineError: it is another service's, or its vectors come from another kind of encoder
                than those that chunks are kept of.
            IntentError: a file is missing or damaged; names it.
        """
        opened = open_package(package)
        about, settings = opened.about, opened.settings()
        if about.service != "suggestions" or about.encoder_kind != "bert" or not about.dataset:
            raise NearlineError(
                f"{package}: is {about.model} on {about.encoder_kind} vectors; updates need a "
                "suggestions package with a bert encoder"
            )
        vertical = Vertical(**settings["vertical"])
        embedder = Embedder.load(package / "encoder", EmbedConfig(**settings["embed"]))
        unknown = sorted(set(vertical.actions) - set(embedder.vocabulary.actions))
        if unknown:
            raise NearlineError(f"{package}: the encoder has no action {unknown[0]!r}")
        return cls(
            embedder,
            {name: Slice.load(package / "slices" / name) for name in SURFACES},
            read_labels(package / "examples"),
            vertical,
            idle_minutes=ActivityConfig(**settings["activity"]).idle_minutes,
            dataset=about.dataset,
            identity=about.version,
        )

    def read_queries_only(self) -> None:
        """Make documents of searches alone, as a recipe with `text.sequence` "query" does."""
        self._tokenise = Tokeniser(
            self.embedder.vocabulary, queries_only=True, remembered=REMEMBERED_TEXTS
        )

    def extend(self, trails: Sequence[Trail], closings: Sequence[Sequence[Action]]) -> Update:
        """Return trails and vectors after further sessions.

        Args:
            trails: before.
            closings: actions of each member's finished sessions, in order, at least one each.
        """
        fresh = [_fresh(rows, trail.until) for rows, trail in zip(closings, trails, strict=True)]
        moved = [place for place, rows in enumerate(fresh) if rows]
        tokens, lengths, counts = self._read([fresh[place] for place in moved])
        documents: list[np.ndarray] = []
        separated: list[bool] = []
        known: dict[bytes, np.ndarray] = {}
        session = token = 0
        for place, count in zip(moved, counts.tolist(), strict=True):
            trail, own = trails[place], lengths[session : session + count]
            keys = self.embedder.closed_keys(trail.document)
            if len(keys) == len(trail.chunks):
                known |= dict(zip(keys, trail.chunks, strict=True))
            continues = bool(trail.until) and fresh[place][0].ts - trail.until <= self.idle
            end = token + int(own.sum())
            document, ends = trail.extended(tokens[token:end], own, continues=continues)
            documents.append(document)
            separated.append(ends)
            session, token = session + count, end
        embedded = self.embedder.embed_reusing(documents, known)
        after = list(trails)
        for place, whole, ends in zip(moved, documents, separated, strict=True):
            document = self.embedder.recent(whole)
            chunks = [known[key] for key in self.embedder.closed_keys(document)]
            after[place] = Trail(
                document,
                np.array(chunks, np.float32).reshape(-1, self.embedder.dimension),
                self._past(trails[place].past, fresh[place]),
                fresh[place][-1].ts,
                ends,
            )
        late = sum(map(len, closings)) - sum(map(len, fresh))
        return Update(after, moved, embedded.vectors, late, session, embedded.encoded)

    def rank(
        self, update: Update, surfaces: Sequence[str], k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the entities of those who moved, on each surface.

        Args:
            update: as `extend` gave it.
            surfaces: of the store's records, "any" or "explore".
            k: labels per surface.

        Returns:
            Labels int32[m, s, k], -1 where there are fewer, and scores float32[m, s, k].
        """
        shape = (len(update.moved), len(surfaces), k)
        labels, scores = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
        readable = update.vectors.any(axis=1)
        past = [update.trails[place].past for place in update.moved]
        offsets = np.cumsum([0, *map(len, past)])
        done = sp.csr_matrix(
            (np.ones(offsets[-1], np.float32), np.concatenate(past), offsets),
            (len(past), len(self.labels)),
        )
        for number, surface in enumerate(surfaces):
            model = self._slices[surface]
            most = min(k, model.label_count)
            exclude = done if surface == "explore" else None
            found, score = model.predict(update.vectors, most, exclude=exclude)
            labels[readable, number, :most] = found[readable]
            scores[readable, number, :most] = score[readable]
        return labels, scores

    def _read(self, members: list[list[Action]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the tokens, the sessions' lengths and the members' sessions."""
        if not members:
            nothing = np.zeros(0, np.int64)
            return nothing, nothing, nothing
        rows = []
        # The number stands for the member: the tokeniser only asks where the next one begins.
        for number, actions in enumerate(members):
            session, before = 1, actions[0].ts
            for action in actions:
                session += action.ts - before > self.idle
                before = action.ts
                texts = (action.query, action.company, action.title)
                rows.append((str(number), session, action.ts, action.action, *texts))
        columns = ["member_id", "session", "ts", "action", "query", "company", "title"]
        types = [pa.string(), pa.int64(), pa.int64(), *[pa.string()] * 4]
        values = map(pa.array, zip(*rows, strict=True), types)
        documents = self._tokenise(pa.record_batch(list(values), columns).select(COLUMNS))
        return documents.tokens, documents.session_lengths, documents.member_sessions

    def _past(self, past: np.ndarray, actions: list[Action]) -> np.ndarray:
        found = {
            self._label(action.action, action.query, action.company, action.title)
            for action in actions
            if action.action in self.vertical.label_actions
        }
        return np.union1d(past, np.array(sorted(found - {-1}), np.int32)).astype(np.int32)

    def _find_label(
        self, action: str, query: str | None, company: str | None, title: str | None
    ) -> int:
        if self.vertical.actions[action] == "query":
            return self._numbers.get((QUERY, entity_text(query=query)), -1)
        posting = self.vertical.posting_label
        text = entity_text(company=company, title=title, posting_label=posting)
        return self._numbers.get((ENTITY, text), -1)


def _fresh(actions: Sequence[Action], until: int) -> list[Action]:
    """Return the actions after `until` without those that equal an earlier one."""
    fresh = {action[1:]: action for action in reversed(actions) if action.ts > until}
    return sorted(fresh.values(), key=lambda action: (action.ts, action.position))
