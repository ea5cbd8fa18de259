"""The files of a token shard: written as a stream, checked and memory-mapped on reading."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from components.files import digest
from components.text.errors import TextError

ARRAYS: dict[str, type[np.signedinteger]] = {
    "tokens.npy": np.int32,
    "session_offsets.npy": np.int64,
    "session_end.npy": np.int64,
    "member_offsets.npy": np.int64,
    "split.npy": np.int8,
}
MEMBERS = "member_ids.arrow"
MEMBER_SCHEMA = pa.schema([pa.field("member_id", pa.string(), nullable=False)])


class ArrayFile:
    """A one-dimensional .npy file that grows while it is written; leaving it enters its length."""

    def __init__(self, path: Path, dtype: type[np.signedinteger]):
        self.path, self._dtype, self._length = path, np.dtype(dtype), 0
        self._file = path.open("wb")
        self._write_header()

    def append(self, values: np.ndarray) -> None:
        """Write further values."""
        values = np.ascontiguousarray(values, dtype=self._dtype)
        self._file.write(values.data)
        self._length += len(values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header()

    def _write_header(self) -> None:
        # numpy pads the header so that the first axis can grow without moving the data.
        np.lib.format.write_array_header_1_0(
            self._file,
            {"shape": (self._length,), "fortran_order": False, "descr": self._dtype.str},
        )


class Shard(NamedTuple):
    """The mapped files of one shard."""

    tokens: np.ndarray
    session_offsets: np.ndarray
    session_end: np.ndarray
    member_offsets: np.ndarray
    split: np.ndarray
    member_ids: pa.ChunkedArray

    @classmethod
    def open(cls, directory: Path, files: dict[str, dict]) -> Self:
        """Map a shard whose files have the sizes in `files`.

        Raises:
            TextError: names the file that is missing, truncated or damaged.
        """
        for name, written in files.items():
            path = directory / name
            found = path.stat().st_size if path.is_file() else "none"
            if found != written["bytes"]:
                raise TextError(
                    f"{path}: truncated or missing: {written['bytes']} bytes were written, "
                    f"{found} found"
                )
        arrays = {
            name.removesuffix(".npy"): _mapped(directory / name, np.dtype(dtype))
            for name, dtype in ARRAYS.items()
        }
        with _damage_named(directory / MEMBERS):
            members = pa.ipc.open_file(pa.memory_map(str(directory / MEMBERS))).read_all()
        return cls(member_ids=members.column("member_id"), **arrays)


def file_facts(directory: Path) -> dict[str, dict]:
    """Return size and checksum of every file of a shard."""
    return {
        path.name: {"bytes": path.stat().st_size, "blake2b": digest(path)}
        for path in sorted(directory.iterdir())
    }


def _mapped(path: Path, dtype: np.dtype) -> np.ndarray:
    with _damage_named(path):
        array = np.load(path, mmap_mode="r")
        if array.dtype != dtype or array.ndim != 1:
            raise ValueError(f"holds {array.dtype} of {array.ndim} dimensions, not {dtype} of one")
    return array.view(np.ndarray)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise TextError(f"{path}: damaged: {error}") from error
