"""Vectors on disk: one row per example, or one per member with the chunks they were made of."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather

from components.encoder.errors import EncoderError
from components.files import whole_directory

VECTORS, NEWEST, ABOUT = "vectors.npy", "newest.npy", "vectors.json"
MEMBERS, CHUNK_KEYS, CHUNK_VECTORS = "members.arrow", "chunk_keys.npy", "chunk_vectors.npy"
DOCUMENTS = "documents.npy"


def save_vectors(
    target: Path, vectors: np.ndarray, newest: np.ndarray | None = None, **about: str | int | float
) -> None:
    """Write vectors and what made them, all or nothing.

    Args:
        target: directory to write.
        vectors: float32[n, d].
        newest: float32[n, d], of the newest chunks alone, where vectors are means over chunks.
        about: facts to keep beside them, the encoder's version among them.
    """
    with whole_directory(target) as directory:
        _write(directory, vectors, about)
        if newest is not None:
            np.save(directory / NEWEST, newest)


def load_vectors(directory: Path, name: str = VECTORS) -> np.ndarray:
    """Map float32[n, d] written by `save_vectors`.

    Args:
        directory: that was written.
        name: VECTORS, or NEWEST for those of the newest chunks.

    Raises:
        EncoderError: the file is missing or damaged; names it.
    """
    path = directory / name
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise EncoderError(f"{path}: missing or damaged: {error}") from error


class MemberVectors(NamedTuple):
    """Every member's activity vector.

    Attributes:
        member_ids: string array[n].
        vectors: float32[n, d].
        closed: float32[d] of the closed chunks the vectors were made of, by `chunk_key`.
        encoder: version of the encoder.
        documents: uint8[n, 16], digest of what each vector was made of; None where nobody knows.
    """

    member_ids: pa.Array | pa.ChunkedArray
    vectors: np.ndarray
    closed: dict[bytes, np.ndarray]
    encoder: str
    documents: np.ndarray | None = None

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Map what `save_member_vectors` wrote.

        Raises:
            EncoderError: a file is missing or damaged; names it.
        """
        vectors = load_vectors(directory)
        try:
            about = json.loads((directory / ABOUT).read_text())
            members = feather.read_table(directory / MEMBERS)["member_id"]
            keys = np.load(directory / CHUNK_KEYS)
            chunks = np.load(directory / CHUNK_VECTORS, mmap_mode="r")
            closed = dict(zip((key.tobytes() for key in keys), chunks, strict=True))
            there = (directory / DOCUMENTS).exists()
            documents = np.load(directory / DOCUMENTS, mmap_mode="r") if there else None
            return cls(members, vectors, closed, about["encoder"], documents)
        except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
            raise EncoderError(f"{directory}: not readable as member vectors: {error!r}") from error


def save_member_vectors(target: Path, content: MemberVectors) -> None:
    """Write member vectors, all or nothing."""
    dimension = content.vectors.shape[1]
    keys = np.frombuffer(b"".join(content.closed), np.uint8).reshape(-1, 16)
    chunks = np.array(list(content.closed.values()), np.float32).reshape(-1, dimension)
    with whole_directory(target) as directory:
        _write(directory, content.vectors, {"encoder": content.encoder})
        feather.write_feather(pa.table({"member_id": content.member_ids}), directory / MEMBERS)
        np.save(directory / CHUNK_KEYS, keys)
        np.save(directory / CHUNK_VECTORS, chunks)
        if content.documents is not None:
            np.save(directory / DOCUMENTS, content.documents)


def merge_member_vectors(parts: Sequence[Path], target: Path) -> MemberVectors:
    """Put the member vectors of shards, in order, into one directory, all or nothing.

    Raises:
        EncoderError: a part is damaged, or of another encoder than the first.
    """
    opened = [MemberVectors.open(part) for part in parts]
    encoders = {one.encoder for one in opened}
    if len(encoders) != 1:
        raise EncoderError(f"{target}: parts of {len(encoders)} encoders: {sorted(encoders)}")
    merged = MemberVectors(
        pa.chunked_array([chunk for one in opened for chunk in one.member_ids.chunks], pa.string()),
        np.concatenate([one.vectors for one in opened]),
        {key: vector for one in opened for key, vector in one.closed.items()},
        encoders.pop(),
        np.concatenate([one.documents for one in opened if one.documents is not None])
        if all(one.documents is not None for one in opened)
        else None,
    )
    save_member_vectors(target, merged)
    return merged


def _write(directory: Path, vectors: np.ndarray, about: dict) -> None:
    if vectors.dtype != np.float32 or vectors.ndim != 2:
        raise EncoderError(f"vectors must be float32[n, d], not {vectors.dtype}{vectors.shape}")
    np.save(directory / VECTORS, vectors)
    about = {**about, "count": vectors.shape[0], "dimension": vectors.shape[1]}
    (directory / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
