"""Building an index from members' vectors."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather
from numpy.typing import NDArray

from components.encoder.vectors import MemberVectors
from components.extreme.threads import in_blocks
from components.files import whole_directory
from components.neighbours import removal
from components.neighbours.config import NeighboursConfig
from components.neighbours.errors import NeighboursError
from components.neighbours.manifest import MEMBERS, ROWS, Manifest, Piece, ShardPiece
from components.neighbours.shard import index_shard
from components.neighbours.unit import unit_rows
from components.progress import progress

ROWS_AT_ONCE = 16_384

logger = logging.getLogger(__name__)


def build_index(
    vectors: Path,
    target: Path,
    config: NeighboursConfig,
    *,
    seed: int,
    previous: Path | None = None,
) -> Manifest:
    """Index every member's vector.

    Args:
        vectors: directory written by `embed_members`.
        target: index to write; see `build_from`.
        config: how.
        seed: of the partition.
        previous: an earlier index at another place; who was removed from it stays removed.

    Raises:
        NeighboursError: the vectors cannot be used; see `build_from`.
    """
    content = MemberVectors.open(vectors)
    return build_from(
        content.member_ids,
        content.vectors,
        content.encoder,
        target,
        config,
        seed=seed,
        previous=previous,
    )


def build_from(
    ids: Sequence[str] | pa.Array | pa.ChunkedArray,
    vectors: NDArray[np.float32],
    encoder: str,
    target: Path,
    config: NeighboursConfig,
    *,
    seed: int,
    previous: Path | None = None,
) -> Manifest:
    """Index vectors by id, in place of the index at `target`, all or nothing.

    Members with the zero vector (no history) are left out and counted. Whoever was removed from the
    index at `target`, or from `previous`, is left out too.

    Args:
        ids: member of each row.
        vectors: of any length, float32[n, d].
        encoder: version that made them.
        target: directory to write.
        config: how.
        seed: of the partition.
        previous: an earlier index at another place.

    Raises:
        NeighboursError: ids repeat, ids and vectors differ in number, or a vector holds NaN or
            infinity; names the member.
    """
    members = _members(ids, vectors)
    removed = {name for old in (target, previous) if old for name in removal.read(old)}
    zero = _without_history(members, vectors)
    gone = pc.is_in(members, pa.array(sorted(removed), members.type)).to_numpy(False)
    kept = np.flatnonzero(~zero & ~gone)
    random = np.random.default_rng(seed)
    shards = min(config.shards, max(len(kept), 1))
    parts = [np.sort(part) for part in np.array_split(random.permutation(len(kept)), shards)]
    with ExitStack() as held, whole_directory(target) as directory:
        table = pa.table({"member_id": members.take(pa.array(kept))})
        feather.write_feather(table, directory / MEMBERS, compression="uncompressed")
        np.save(directory / ROWS, np.concatenate(parts))
        manifest = Manifest(
            encoder=encoder,
            dimension=vectors.shape[1],
            count=len(kept),
            left_out=int(zero.sum()),
            seed=seed,
            parameters=config.model_dump(),
            files=[Piece.of(directory / MEMBERS), Piece.of(directory / ROWS)],
            shards=_write_shards(directory, vectors, [kept[part] for part in parts], config, seed),
        )
        manifest.write(directory)
        # Held until the new version is in place: a removal meanwhile waits, and lands in it.
        held.enter_context(removal.lock(target))
        removal.write(directory, removed.union(removal.read(target)))
    logger.info("neighbours members=%d left_out=%d", manifest.count, manifest.left_out)
    return manifest


def _members(ids: Sequence[str] | pa.Array | pa.ChunkedArray, vectors: NDArray) -> pa.Array:
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise NeighboursError(f"vectors must be [n, d], not {list(vectors.shape)}")
    members = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids, pa.string())
    if isinstance(members, pa.ChunkedArray):
        members = members.combine_chunks()
    if len(members) != len(vectors):
        raise NeighboursError(f"{len(members)} members, but {len(vectors)} vectors")
    counts = pc.value_counts(members)
    repeated = pc.filter(counts.field("values"), pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise NeighboursError(f"member {repeated[0]} comes more than once")
    return members


def _without_history(members: pa.Array, vectors: NDArray) -> NDArray[np.bool_]:
    without = np.empty(len(vectors), np.bool_)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        block = np.asarray(vectors[start : start + ROWS_AT_ONCE])
        _, zero = unit_rows(block, partial(_name, members, start))
        without[start : start + ROWS_AT_ONCE] = zero
    return without


def _name(members: pa.Array, start: int, row: int) -> str:
    return f"member {members[start + row]}"


def _write_shards(
    directory: Path,
    vectors: NDArray,
    parts: list[NDArray[np.int64]],
    config: NeighboursConfig,
    seed: int,
) -> list[ShardPiece]:
    def write(number: int) -> ShardPiece:
        rows, path = parts[number], directory / f"shard-{number:04d}.npy"
        units = np.lib.format.open_memmap(path, "w+", np.float32, (len(rows), vectors.shape[1]))
        # By the block: all of them at once need not fit in memory.
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            units[start : start + len(some)], _ = unit_rows(np.asarray(vectors[some]), str)
        units.flush()
        return index_shard(path, config, seed=seed + number)

    written = []
    with progress("index", total=sum(map(len, parts))) as bar:
        for piece in in_blocks(write, range(len(parts)), config.threads):
            written.append(piece)
            bar.advance(piece.count)
    return written
