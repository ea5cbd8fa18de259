"""Where a registry keeps its files: a folder, or a bucket of Google Cloud Storage.

Both refuse to replace a file that somebody else changed in the meantime, which is all that two
registrations at once need.
"""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from components.files import whole_directory, whole_file
from components.variants.errors import VariantError
from components.variants.package import link_tree

BUCKET_SCHEME, FILE_SCHEME = "gs://", "file://"
LOCK = ".lock"


class Changed(Exception):
    """A file is not what it was when it was read."""


class Place(Protocol):
    """Files by name, each with a stamp that tells its content from any other."""

    def uri(self, name: str) -> str:
        """Return where a file or directory lies, as others can reach it."""

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Return a file's content and stamp; None when there is none."""

    def write(self, name: str, content: bytes, *, instead_of: str | None) -> None:
        """Write a file whole.

        Args:
            name: of the file.
            content: of the file.
            instead_of: stamp of the file that is replaced; None when there must be none.

        Raises:
            Changed: the file is another, or there is one.
        """

    def store(self, name: str, directory: Path) -> None:
        """Copy a directory there, whole; one that is there already stays."""


def open_place(url: str) -> Place:
    """Open a folder (a path or file://) or a bucket (gs://bucket/prefix).

    Raises:
        VariantError: the address is neither.
    """
    if url.startswith(BUCKET_SCHEME):
        return _Bucket(url)
    path = url.removeprefix(FILE_SCHEME)
    if "://" in path or not path:
        raise VariantError(f"{url}: a registry is a folder, or gs://bucket/prefix")
    return _Folder(Path(path).absolute())


class _Folder:
    def __init__(self, root: Path):
        self._root = root

    def uri(self, name: str) -> str:
        return f"{FILE_SCHEME}{self._root / name}"

    def read(self, name: str) -> tuple[bytes, str] | None:
        try:
            content = (self._root / name).read_bytes()
        except FileNotFoundError:
            return None
        return content, hashlib.blake2b(content, digest_size=16).hexdigest()

    def write(self, name: str, content: bytes, *, instead_of: str | None) -> None:
        with self._alone():
            there = self.read(name)
            if (there and there[1]) != instead_of:
                raise Changed(name)
            with whole_file(self._root / name) as aside:
                aside.write_bytes(content)

    def store(self, name: str, directory: Path) -> None:
        target = self._root / name
        with self._alone():
            if target.exists():
                return
            with whole_directory(target) as aside:
                link_tree(directory, aside)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class _Bucket:
    def __init__(self, url: str):
        from google.cloud import storage

        bucket, _, self._prefix = url.removeprefix(BUCKET_SCHEME).partition("/")
        self._url = url.rstrip("/")
        self._bucket = storage.Client().bucket(bucket)

    def uri(self, name: str) -> str:
        return f"{self._url}/{name}"

    def read(self, name: str) -> tuple[bytes, str] | None:
        from google.api_core.exceptions import NotFound

        blob = self._blob(name)
        try:
            content = blob.download_as_bytes()
        except NotFound:
            return None
        return content, str(blob.generation)

    def write(self, name: str, content: bytes, *, instead_of: str | None) -> None:
        from google.api_core.exceptions import PreconditionFailed

        try:
            self._blob(name).upload_from_string(
                content, if_generation_match=int(instead_of) if instead_of else 0
            )
        except PreconditionFailed as error:
            raise Changed(name) from error

    def store(self, name: str, directory: Path) -> None:
        """Upload file by file; what an earlier try left there is taken as it is if it is equal."""
        from google.api_core.exceptions import PreconditionFailed

        for path in sorted(directory.rglob("*")):
            if not path.is_file():
                continue
            blob = self._blob(f"{name}/{path.relative_to(directory)}")
            try:
                blob.upload_from_filename(path, if_generation_match=0, checksum="crc32c")
            except PreconditionFailed:
                blob.reload()
                if blob.size != path.stat().st_size:
                    raise VariantError(
                        f"{self.uri(blob.name)}: is there, but of another size"
                    ) from None

    def _blob(self, name: str):  # noqa: ANN202 - google's own type needs its import
        return self._bucket.blob(f"{self._prefix.rstrip('/')}/{name}".lstrip("/"))
