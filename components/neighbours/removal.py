"""Members removed from an index: they must not come back, not even by an older rebuild.

The list lies beside the index's other files and is carried into the index that replaces it. Writers
take a lock beside the index, so that a removal while a new version is put in place is not lost.
"""

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.files import whole_file
from components.neighbours.errors import NeighboursError

REMOVED = "removed.json"


def read(directory: Path) -> list[str]:
    """Return the ids removed from an index, sorted; none if there is no such list.

    Raises:
        NeighboursError: the list is damaged.
    """
    path = directory / REMOVED
    try:
        return list(json.loads(path.read_text()))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise NeighboursError(f"{path}: not readable as removed members: {error}") from error


def add(directory: Path, ids: Iterable[str]) -> None:
    """Write these ids too into the list of an index."""
    with lock(directory):
        write(directory, {*read(directory), *ids})


def write(directory: Path, ids: Iterable[str]) -> None:
    """Write the list of an index."""
    with whole_file(directory / REMOVED) as aside:
        aside.write_text(json.dumps(sorted(ids)) + "\n")


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Keep other writers away from the list and from putting another index in this place."""
    with directory.with_name(f".{directory.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
