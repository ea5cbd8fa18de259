"""Records: what the store holds of a member, and how that is laid out in bytes.

A record is of fixed size within a version: time of the newest action (8 bytes, big-endian, so that
records compare by age as bytes do), labels, scores, then the vector in half precision.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.store.errors import StoreError

TIME_BYTES = 8
_INTEGER, _SINGLE, _HALF = np.dtype("<i4"), np.dtype("<f4"), np.dtype("<f2")
LONGEST_ID = 255
BUCKETS = 256
_NOT_FINITE = 0x7C00
"""Bits of infinity in half precision, the sign aside; those of NaN are larger."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Sizes of a version's records.

    Attributes:
        dimension: of the vectors.
        entities: ranked labels a member has at most, per surface.
        surfaces: name of each ranked list.
    """

    dimension: int
    entities: int
    surfaces: tuple[str, ...] = ("any",)

    def __post_init__(self):
        if self.dimension < 1 or self.entities < 0 or not self.surfaces:
            raise StoreError(f"{self}: needs a dimension and a surface at least")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Dimension, surfaces, and entities."""
        return self.dimension, len(self.surfaces), self.entities


class Records(NamedTuple):
    """Members' records.

    Attributes:
        member_ids: n names.
        vectors: float16 or float32[n, d].
        labels: int32[n, s, k], best first in each of the s lists, -1 where there is none.
        scores: float32[n, s, k].
        data_times: int64[n], microseconds UTC of the newest action each was made of.
    """

    member_ids: Sequence[str] | pa.Array | pa.ChunkedArray
    vectors: NDArray
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    data_times: NDArray[np.int64]


class Found(NamedTuple):
    """Records in the order they were asked for, all of one version; zeros and -1 where missing.

    Attributes:
        member_ids: n names, as asked for.
        vectors: float32[n, d].
        labels: int32[n, s, k].
        scores: float32[n, s, k].
        data_times: int64[n].
        found: bool[n], whether the version has the member.
        version: number of the version.
    """

    member_ids: list[str]
    vectors: NDArray[np.float32]
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    data_times: NDArray[np.int64]
    found: NDArray[np.bool_]
    version: int


class Record(NamedTuple):
    """One member's record.

    Attributes:
        member_id: its name.
        vector: float32[d].
        labels: int32[s, k], -1 where there is none.
        scores: float32[s, k].
        data_time: microseconds UTC.
        version: number of the version it was read from.
    """

    member_id: str
    vector: NDArray[np.float32]
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    data_time: int
    version: int


@lru_cache(maxsize=64)
def layout(shape: tuple[int, int, int]) -> np.dtype:
    """Bytes of a record of `Schema.shape`."""
    dimension, surfaces, entities = shape
    return np.dtype(
        [
            ("data_time", ">i8"),
            ("labels", "<i4", (surfaces, entities)),
            ("scores", "<f4", (surfaces, entities)),
            ("vector", "<f2", (dimension,)),
        ]
    )


def key_of(member_id: str) -> bytes:
    """Name of a member in the store; any text has one, so a look-up cannot fail."""
    return member_id.encode("utf-8", "surrogatepass")


def bucket_of(key: bytes) -> int:
    """Which of BUCKETS a member belongs to."""
    return zlib.crc32(key) % BUCKETS


def checked_keys(member_ids: Sequence[str] | pa.Array | pa.ChunkedArray) -> list[bytes]:
    """Names under which records may be stored.

    Raises:
        StoreError: one is empty, or longer than LONGEST_ID bytes.
    """
    if isinstance(member_ids, pa.Array | pa.ChunkedArray):
        keys = member_ids.cast(pa.binary()).to_pylist()
    else:
        keys = [key_of(member_id) for member_id in member_ids]
    lengths = list(map(len, keys))
    if keys and not 0 < min(lengths) <= max(lengths) <= LONGEST_ID:
        row = next(row for row, length in enumerate(lengths) if not 0 < length <= LONGEST_ID)
        raise StoreError(
            f"row {row}: a member id takes 1 to {LONGEST_ID} bytes: {keys[row][:40]!r}"
        )
    return keys


def pack(records: Records) -> list[bytes]:
    """Lay out records as the store keeps them.

    Raises:
        StoreError: shapes disagree, a vector is not finite or too large for half precision, or a
            time lies before 1970; names the row.
    """
    rows = _pack_array(records)
    data, size = rows.tobytes(), rows.dtype.itemsize
    return [data[start : start + size] for start in range(0, len(data), size)]


def shape_of(records: Records) -> tuple[int, int, int]:
    """Dimension, surfaces and entities of records.

    Raises:
        StoreError: the arrays' shapes disagree.
    """
    vectors, labels, scores = (np.shape(array) for array in records[1:4])
    count = len(records.member_ids)
    fits = len(vectors) == 2 and len(labels) == 3 and labels == scores
    if not fits or {vectors[0], labels[0], len(records.data_times)} != {count}:
        raise StoreError(
            f"{count} records with vectors {vectors}, labels {labels}, scores {scores} and "
            f"{len(records.data_times)} times; wanted [n, d], [n, s, k], [n, s, k] and [n]"
        )
    return vectors[1], labels[1], labels[2]


def unpack(values: Sequence[bytes | None], shape: tuple[int, int, int]) -> tuple[NDArray, NDArray]:
    """Read records laid out by `pack`.

    Args:
        values: n records; None becomes one of zeros.
        shape: of the version's schema.

    Returns:
        A structured array[n] with the fields of `layout`, and bool[n]: which were there.
    """
    form = layout(shape)
    found = np.ones(len(values), bool)
    try:
        data = b"".join(values)  # type: ignore[arg-type]
    except TypeError:
        blank = _blank(shape)
        found[:] = [value is not None for value in values]
        data = b"".join(blank if value is None else value for value in values)
    return np.frombuffer(data, form), found


def unpack_one(member_id: str, value: bytes, shape: tuple[int, int, int], version: int) -> Record:
    """Read one record; the way to a single member's that costs least."""
    dimension, *lists = shape
    vector = TIME_BYTES + 8 * lists[0] * lists[1]
    return Record(
        member_id,
        np.frombuffer(value, _HALF, dimension, vector).astype(np.float32),
        np.ndarray(lists, _INTEGER, value, TIME_BYTES),
        np.ndarray(lists, _SINGLE, value, TIME_BYTES + 4 * lists[0] * lists[1]),
        int.from_bytes(value[:TIME_BYTES], "big"),
        version,
    )


@lru_cache(maxsize=64)
def _blank(shape: tuple[int, int, int]) -> bytes:
    row = np.zeros(1, layout(shape))
    row["labels"] = -1
    return row.tobytes()


def _pack_array(records: Records) -> NDArray:
    rows = np.empty(len(records.member_ids), layout(shape_of(records)))
    with np.errstate(over="ignore", invalid="ignore"):
        halves = np.asarray(records.vectors).astype(np.float16)
    magnitudes = halves.view(np.uint16) & 0x7FFF
    if magnitudes.max(initial=0) >= _NOT_FINITE:
        row = int((magnitudes >= _NOT_FINITE).any(axis=1).argmax())
        raise StoreError(
            f"row {row}, member {records.member_ids[row]}: vector is not finite in half precision"
        )
    times = np.asarray(records.data_times, np.int64)
    if (times < 0).any():
        raise StoreError(f"row {int((times < 0).argmax())}: data time lies before 1970")
    rows["data_time"], rows["vector"] = times, halves
    rows["labels"], rows["scores"] = records.labels, records.scores
    return rows
