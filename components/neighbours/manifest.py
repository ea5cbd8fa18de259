"""What an index consists of: its encoder, its shards, and the digest of every file."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from components.files import digest
from components.neighbours.config import IndexKind
from components.neighbours.errors import NeighboursError

MANIFEST, MEMBERS, ROWS = "manifest.json", "members.arrow", "rows.npy"
FORMAT = 1
"""Version of the directory's layout; another one is refused."""


class Piece(BaseModel):
    """A file of an index."""

    model_config = ConfigDict(extra="forbid")

    file: str
    bytes: int
    digest: str

    @classmethod
    def of(cls, path: Path, **more: Any) -> Self:
        """Describe a file that was written."""
        return cls(file=path.name, bytes=path.stat().st_size, digest=digest(path), **more)

    def check(self, directory: Path, *, digests: bool) -> None:
        """Raise NeighboursError, naming the file, unless it is the one described."""
        path = directory / self.file
        if not path.is_file():
            raise NeighboursError(f"{path}: missing, though the manifest names it")
        size = path.stat().st_size
        if size != self.bytes:
            raise NeighboursError(f"{path}: {size} bytes, the manifest says {self.bytes}")
        if digests and digest(path) != self.digest:
            raise NeighboursError(f"{path}: not the file that the manifest describes")


class ShardPiece(Piece):
    """The vectors of a shard, and the index over them."""

    count: int
    kind: IndexKind
    index: list[Piece]
    settings: dict[str, Any]
    """What the index needs to know besides its files."""

    def check(self, directory: Path, *, digests: bool) -> None:
        """Check the vectors and the index's files."""
        for piece in self.index:
            piece.check(directory, digests=digests)
        super().check(directory, digests=digests)


class Manifest(BaseModel):
    """The contents of an index."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    encoder: str
    dimension: int
    count: int
    left_out: int
    """Members without history, whose zero vector is near nobody's."""
    seed: int
    parameters: dict[str, Any]
    files: list[Piece]
    shards: list[ShardPiece]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the manifest of an index.

        Raises:
            NeighboursError: it is missing, damaged, or of another version of the layout.
        """
        path = directory / MANIFEST
        try:
            content = json.loads(path.read_text())
            if content["format"] != FORMAT:
                raise NeighboursError(
                    f"{path}: format {content['format']}, this program reads {FORMAT}; rebuild it"
                )
            return cls.model_validate(content)
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            raise NeighboursError(f"{path}: not readable as a manifest: {error}") from error

    def write(self, directory: Path) -> None:
        """Write the manifest into an index."""
        (directory / MANIFEST).write_text(self.model_dump_json(indent=2) + "\n")

    def check(self, directory: Path, *, digests: bool) -> None:
        """Compare every file with its description.

        Raises:
            NeighboursError: a file is missing, truncated or another's; names it.
        """
        pieces = [*self.files, *self.shards]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda piece: piece.check(directory, digests=digests), pieces))
        if sum(shard.count for shard in self.shards) != self.count:
            raise NeighboursError(f"{directory / MANIFEST}: shards do not add up to {self.count}")
