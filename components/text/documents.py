"""Activity documents as subword ids in memory-mapped shards.

A document is the member's sessions in time order; a session is its actions, each an action-type id
followed by the ids of its texts, closed by [SEP]. Every part of the sessions becomes one shard:
`tokens.npy` int32[T], `session_offsets.npy` int64[S + 1] into the tokens, `session_end.npy`
int64[S] (time of a session's last action), `member_offsets.npy` int64[M + 1] into the sessions,
`split.npy` int8[M] and `member_ids.arrow`.
"""

import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.activity.config import SplitConfig
from components.activity.split import member_split
from components.files import digest, whole_directory
from components.progress import progress
from components.text.config import TextConfig
from components.text.errors import TextError
from components.text.ragged import whole_member_batches
from components.text.shards import (
    ARRAYS,
    MEMBER_SCHEMA,
    MEMBERS,
    ArrayFile,
    Shard,
    file_facts,
)
from components.text.tokeniser import COLUMNS, Tokeniser
from components.text.vocabulary import Vocabulary, session_parts

MANIFEST = "manifest.json"

logger = logging.getLogger(__name__)


def write_tokens(
    sessions: Path,
    vocabulary: Path,
    target: Path,
    config: TextConfig,
    *,
    split: SplitConfig,
    seed: int,
) -> None:
    """Tokenise session parts into shards, all or nothing.

    With `config.sequence` "query" only searches are kept. Sessions without one stay, empty, so that
    a session has the same number in both variants.

    Args:
        sessions: directory of session parts, sorted by member and time.
        vocabulary: directory written by `train_vocabulary`.
        target: directory to write: shards and `manifest.json` with their sizes and checksums.
        config: sequence variant and batch size.
        split: shares of members kept out of training.
        seed: of the split.

    Raises:
        TextError: an action the vocabulary lacks, or rows that are not sorted; names the file.
    """
    words = Vocabulary.load(vocabulary)
    tokenise = Tokeniser(words, queries_only=config.sequence == "query")
    parts = session_parts(sessions)
    shards = []
    with (
        whole_directory(target) as directory,
        progress("tokenise", total=len(parts)) as bar,
    ):
        for number, part in enumerate(parts):
            shard = directory / f"shard-{number:05d}"
            shard.mkdir()
            shards.append(_write_shard(part, shard, tokenise, config, split=split, seed=seed))
            bar.advance(tokens=sum(facts["tokens"] for facts in shards))
        manifest = {"vocabulary": words.hash, "sequence": config.sequence, "shards": shards}
        (directory / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    logger.info("tokens shards=%d", len(shards))


class Tokens:
    """Every member's document, memory-mapped; members are rows that run over the shards in order.

    Attributes:
        shards: the mapped arrays, one `Shard` per sessions part.
        members: number of members.
        member_ids: string array[members].
        split: int8[members], 0 train, 1 validation, 2 test.
        vocabulary: hash of the vocabulary that the ids belong to.
        sequence: "action" or "query".
    """

    def __init__(self, directory: Path, manifest: dict):
        self._directory, self._manifest = directory, manifest
        self.vocabulary: str = manifest["vocabulary"]
        self.sequence: str = manifest["sequence"]
        self.shards = [
            Shard.open(directory / facts["name"], facts["files"]) for facts in manifest["shards"]
        ]
        self._first_row = np.cumsum([0] + [len(shard.split) for shard in self.shards])
        self.members = int(self._first_row[-1])
        self.split = np.concatenate([shard.split for shard in self.shards])
        self.member_ids = pa.chunked_array(
            [chunk for shard in self.shards for chunk in shard.member_ids.chunks],
            type=pa.string(),
        )

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Map the shards written by `write_tokens`.

        Raises:
            TextError: a file is missing, unreadable, or not of the size that was written.
        """
        try:
            return cls(directory, json.loads((directory / MANIFEST).read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TextError(f"{directory / MANIFEST}: no readable manifest: {error!r}") from error

    def verify(self) -> None:
        """Read every file again and compare it with its checksum.

        Raises:
            TextError: names the first file whose content changed.
        """
        for facts in self._manifest["shards"]:
            for name, written in facts["files"].items():
                path = self._directory / facts["name"] / name
                if digest(path) != written["blake2b"]:
                    raise TextError(f"{path}: damaged, its checksum does not match")

    def rows(self, member_ids: Sequence[str] | np.ndarray | pa.Array) -> np.ndarray:
        """Return int64 rows of members.

        Raises:
            TextError: names the first member that is not there.
        """
        wanted = pa.array(member_ids, type=pa.string())
        found = pc.index_in(wanted, value_set=self.member_ids)
        if found.null_count:
            missing = wanted.filter(found.is_null())[0].as_py()
            raise TextError(f"{self._directory}: holds no member {missing!r}")
        return found.to_numpy().astype(np.int64)

    def sessions_of(self, row: int) -> int:
        """Return the number of sessions of a member."""
        shard, local = self._locate(row)
        return int(shard.member_offsets[local + 1] - shard.member_offsets[local])

    def document(
        self, row: int, first_session: int = 0, end_session: int | None = None
    ) -> np.ndarray:
        """Return int32 ids of a member's sessions `first_session` up to `end_session`, a view.

        Args:
            row: the member.
            first_session: 0 is the earliest.
            end_session: the session after the last; all when None.

        Raises:
            TextError: the member has no such sessions.
        """
        shard, first, end = self._sessions(row, first_session, end_session)
        return shard.tokens[shard.session_offsets[first] : shard.session_offsets[end]]

    def session_lengths(self, row: int) -> np.ndarray:
        """Return int64[sessions], the number of ids of each of a member's sessions."""
        shard, first, end = self._sessions(row, 0, None)
        return np.diff(shard.session_offsets[first : end + 1])

    def session_end(self, row: int) -> np.ndarray:
        """Return int64[sessions], the time of each session's last action, microseconds UTC."""
        shard, first, end = self._sessions(row, 0, None)
        return shard.session_end[first:end]

    def _sessions(self, row: int, first: int, end: int | None) -> tuple[Shard, int, int]:
        shard, local = self._locate(row)
        base, limit = int(shard.member_offsets[local]), int(shard.member_offsets[local + 1])
        last = limit if end is None else base + end
        if not base <= base + first <= last <= limit:
            raise TextError(
                f"{self._directory}: row {row} has {limit - base} sessions, not [{first}, {end})"
            )
        return shard, base + first, last

    def _locate(self, row: int) -> tuple[Shard, int]:
        if not 0 <= row < self.members:
            raise TextError(
                f"{self._directory}: row {row} is not one of its {self.members} members"
            )
        number = int(np.searchsorted(self._first_row, row, side="right")) - 1
        return self.shards[number], int(row - self._first_row[number])


def _write_shard(
    part: Path,
    shard: Path,
    tokenise: Tokeniser,
    config: TextConfig,
    *,
    split: SplitConfig,
    seed: int,
) -> dict:
    tokens = sessions = members = 0
    with ExitStack() as open_files:
        out = {
            name: open_files.enter_context(ArrayFile(shard / name, dtype))
            for name, dtype in ARRAYS.items()
        }
        ids = open_files.enter_context(pa.ipc.new_file(str(shard / MEMBERS), MEMBER_SCHEMA))
        out["session_offsets.npy"].append(np.zeros(1))
        out["member_offsets.npy"].append(np.zeros(1))
        for batch in whole_member_batches(part, COLUMNS, rows=config.batch_rows):
            try:
                documents = tokenise(batch)
            except TextError as error:
                raise TextError(f"{part}: {error}") from error
            sides = member_split(
                documents.member_ids.to_pylist(),
                seed=seed,
                validation=split.validation,
                test=split.test,
            )
            out["tokens.npy"].append(documents.tokens)
            out["session_offsets.npy"].append(tokens + np.cumsum(documents.session_lengths))
            out["session_end.npy"].append(documents.session_end)
            out["member_offsets.npy"].append(sessions + np.cumsum(documents.member_sessions))
            out["split.npy"].append(sides)
            ids.write_batch(pa.record_batch([documents.member_ids], schema=MEMBER_SCHEMA))
            tokens += len(documents.tokens)
            sessions += len(documents.session_end)
            members += len(documents.member_ids)
    return {
        "name": shard.name,
        "members": members,
        "sessions": sessions,
        "tokens": tokens,
        "files": file_facts(shard),
    }
