"""Find and open the files of a source, on this machine or in a bucket, by one set of rules."""

import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as fs

from components.activity.config import FilesConfig
from components.activity.schema import ActivityError

Format = Literal["parquet", "csv", "jsonl"]

FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
BUCKET_SCHEME = "gs://"
EMULATOR = "STORAGE_EMULATOR_HOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file of actions.

    Attributes:
        name: as a user would write it, `gs://` included.
        format: how its rows are written.
        size: in bytes, as stored.
    """

    name: str
    format: Format
    size: int
    filesystem: fs.FileSystem

    def open(self) -> pa.NativeFile:
        """Open for reading from any place."""
        return self.filesystem.open_input_file(self.name.removeprefix(BUCKET_SCHEME))

    def decompressed(self, stored: pa.NativeFile) -> pa.NativeFile:
        """Read `stored` in order, unpacked if the name says that it is packed."""
        packing = COMPRESSIONS.get(PurePosixPath(self.name).suffix)
        return pa.CompressedInputStream(stored, packing) if packing else stored


def find_files(config: FilesConfig) -> list[SourceFile]:
    """List the files that `config` names, by name, without those that begin with . or _.

    Raises:
        ActivityError: nothing is there, or the format of a file cannot be told.
    """
    in_bucket = config.path.startswith(BUCKET_SCHEME)
    filesystem = bucket_filesystem() if in_bucket else fs.LocalFileSystem()
    path = config.path.removeprefix(BUCKET_SCHEME)
    try:
        found = _matching(filesystem, path)
    except OSError as error:
        raise ActivityError(f"{config.path}: cannot be listed ({error})") from error
    scheme = BUCKET_SCHEME if in_bucket else ""
    files = []
    for info in sorted(found, key=lambda info: info.path):
        name = scheme + info.path
        file_format = _format(name) if config.format == "auto" else config.format
        if file_format:
            files.append(
                SourceFile(
                    name=name, format=file_format, size=info.size or 0, filesystem=filesystem
                )
            )
    if not files:
        known = ", ".join(FORMATS)
        detail = (
            f"{len(found)} files, none of them {known}; set source.format"
            if found
            else "nothing there"
        )
        raise ActivityError(f"{config.path}: no files of actions ({detail})")
    return files


def bucket_filesystem() -> fs.FileSystem:
    """Open Google Cloud Storage, or the emulator that `STORAGE_EMULATOR_HOST` names."""
    emulator = os.environ.get(EMULATOR)
    if not emulator:
        return fs.GcsFileSystem()
    address = urlsplit(emulator if "://" in emulator else f"http://{emulator}")
    return fs.GcsFileSystem(
        anonymous=True,
        scheme=address.scheme,
        endpoint_override=address.netloc,
        project_id="emulator",
    )


def _matching(filesystem: fs.FileSystem, path: str) -> list[fs.FileInfo]:
    if "*" in path or "?" in path:
        base = re.split(r"[^/]*[*?]", path, maxsplit=1)[0].rstrip("/") or "."
        pattern = _pattern(path)
        below = filesystem.get_file_info(
            fs.FileSelector(base, recursive=True, allow_not_found=True)
        )
        return [info for info in below if info.is_file and pattern.fullmatch(info.path)]
    given = filesystem.get_file_info(path.rstrip("/") or "/")
    if given.is_file:
        return [given]
    if given.type == fs.FileType.NotFound:
        return []
    below = filesystem.get_file_info(fs.FileSelector(given.path, recursive=True))
    return [info for info in below if info.is_file and not _hidden(info.path, given.path)]


def _pattern(path: str) -> re.Pattern[str]:
    """Translate a path with `**` (any depth), `*` and `?` (within one name)."""
    pieces = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", path)
    relative = "" if path.startswith("/") else r"(?:\./)?"
    return re.compile(relative + "".join(pieces.get(part, re.escape(part)) for part in parts))


def _hidden(path: str, folder: str) -> bool:
    return any(
        part.startswith((".", "_")) for part in PurePosixPath(path).relative_to(folder).parts
    )


def _format(name: str) -> Format | None:
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return FORMATS.get(suffixes[-1]) if suffixes else None
