"""What a training run hands over to the days after it, and each day to the next.

A place for models is a folder or a bucket:

    current.json                 which training run's models the days go on with
    <version>/settings.json      the run's recipe
    <version>/<part>/            encoder, vocabulary, words, slices, word_slices, examples,
                                 audience, features: they stay as they are
    <version>/days/<day>/        vectors and actions as of a day
    <version>/day.json           which day was the last, and when the index was made

A version is named after its content, so that handing over the same again changes nothing.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from components.days.errors import DaysError
from components.files import digest, whole_directory
from components.variants.package import link_tree
from components.variants.places import BUCKET_SCHEME, FILE_SCHEME, Changed, open_place

CURRENT, SETTINGS, DAY = "current.json", "settings.json", "day.json"
PARTS = (
    "encoder",
    "vocabulary",
    "words",
    "slices",
    "word_slices",
    "examples",
    "audience",
    "features",
)
"""What the days after a training run use of it."""

DAYS_KEPT = 2


class Day(NamedTuple):
    """What the last day left.

    Attributes:
        number: how many days there were; 0 is the training run itself.
        day: ISO date of the newest action.
        indexed: ISO date of the newest action that the index of members knows.
        path: where the day's vectors and actions lie, below the version.
    """

    number: int
    day: str
    indexed: str
    path: str


class Handover(NamedTuple):
    """The models that days go on with.

    Attributes:
        models: the place.
        version: of the models.
        day: the last.
        stamp: tells that day from a later one.
    """

    models: str
    version: str
    day: Day
    stamp: str

    @classmethod
    def open(cls, models: str, version: str | None = None) -> Self:
        """Find what was handed over last.

        Args:
            models: a folder, or gs://bucket/prefix.
            version: of the models; those handed over last when None.

        Raises:
            DaysError: there is nothing.
        """
        place = open_place(models)
        if version is None:
            current = place.read(CURRENT)
            if current is None:
                raise DaysError(f"{models}: no training run has handed over its models here")
            version = json.loads(current[0])["version"]
        day = place.read(f"{version}/{DAY}")
        if day is None:
            raise DaysError(f"{models}/{version}: no {DAY}")
        return cls(models, version, Day(**json.loads(day[0])), day[1])

    def as_of(self, stamp: str) -> Self:
        """Return this if the last day is still the one of a stamp.

        Raises:
            DaysError: another day was handed over since.
        """
        if stamp != self.stamp:
            raise self.overtaken()
        return self

    def overtaken(self) -> DaysError:
        """Say that another day was faster."""
        return DaysError(
            f"{self.models}/{self.version}: another day was handed over while this one ran; "
            "start it again"
        )

    def place(self, name: str) -> Path:
        """Return where the last day's vectors or actions lie, when that is a folder.

        Raises:
            DaysError: it is a bucket.
        """
        if self.models.startswith(BUCKET_SCHEME):
            raise DaysError(f"{self.models}: not a folder")
        return Path(self.models.removeprefix(FILE_SCHEME), self.version, self.day.path, name)

    def settings(self) -> dict[str, Any]:
        """Return the sections of the training run's recipe."""
        found = open_place(self.models).read(f"{self.version}/{SETTINGS}")
        if found is None:
            raise DaysError(f"{self.models}/{self.version}: no {SETTINGS}")
        return json.loads(found[0])

    def take(self, parts: Mapping[str, Path], *, vectors: Path, actions: Path) -> None:
        """Copy the models, and what the last day left, to directories; each appears whole.

        Args:
            parts: directory to write for each of PARTS.
            vectors: directory to write.
            actions: directory to write.

        Raises:
            DaysError: something is missing; names it.
        """
        for name in PARTS:
            fetch(self.models, f"{self.version}/{name}", parts[name])
        fetch(self.models, f"{self.version}/{self.day.path}/vectors", vectors)
        fetch(self.models, f"{self.version}/{self.day.path}/actions", actions)


def keep_models(
    models: str,
    parts: Mapping[str, Path],
    *,
    settings: Mapping[str, Any],
    run: str,
    vectors: Path,
    actions: Path,
    day: str,
) -> str:
    """Hand over a training run's models; days go on with them from then on.

    Args:
        models: a folder, or gs://bucket/prefix.
        parts: directory of each of PARTS.
        settings: sections of the recipe.
        run: name of the run, for people.
        vectors: every member's.
        actions: all that happened, as `actions.renumbered` writes them.
        day: ISO date of the newest action.

    Returns:
        The models' version.
    """
    place = open_place(models)
    version = _version(parts, settings)
    for name in PARTS:
        place.store(f"{version}/{name}", parts[name])
    _put(models, f"{version}/{SETTINGS}", settings)
    if place.read(f"{version}/{DAY}") is None:
        first = Day(0, day, day, "days/0")
        _keep(models, version, first, vectors, actions)
        place.write(f"{version}/{DAY}", _json(first._asdict()), instead_of=None)
    _put(models, CURRENT, {"version": version, "run": run})
    return version


def keep_day(handed: Handover, *, vectors: Path, actions: Path, day: str, indexed: str) -> Day:
    """Hand over a day to the next.

    Args:
        handed: what the day began with.
        vectors: every member's.
        actions: all that happened until then.
        day: ISO date of the newest action.
        indexed: ISO date of the newest action that the index knows.

    Raises:
        DaysError: another day was handed over in the meantime.
    """
    number = handed.day.number + 1
    done = Day(number, day, indexed, f"days/{number}")
    _remove(handed.models, f"{handed.version}/{done.path}")  # of an attempt that did not finish
    _keep(handed.models, handed.version, done, vectors, actions)
    try:
        open_place(handed.models).write(
            f"{handed.version}/{DAY}", _json(done._asdict()), instead_of=handed.stamp
        )
    except Changed as error:
        raise handed.overtaken() from error
    _remove(handed.models, f"{handed.version}/days/{number - DAYS_KEPT}")
    return done


def _keep(models: str, version: str, day: Day, vectors: Path, actions: Path) -> None:
    place = open_place(models)
    place.store(f"{version}/{day.path}/vectors", vectors)
    place.store(f"{version}/{day.path}/actions", actions)


def _put(models: str, name: str, content: Mapping[str, Any]) -> None:
    """Write a file, whoever wrote it before: the last hand-over counts."""
    place = open_place(models)
    while True:
        there = place.read(name)
        try:
            place.write(name, _json(content), instead_of=there and there[1])
        except Changed:
            continue
        return


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _version(parts: Mapping[str, Path], settings: Mapping[str, Any]) -> str:
    files = [
        (name, str(file.relative_to(parts[name])), digest(file))
        for name in PARTS
        for file in sorted(parts[name].rglob("*"))
        if file.is_file()
    ]
    told = json.dumps([files, settings], sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def fetch(models: str, name: str, target: Path) -> None:
    """Copy a directory of a place to another on this machine, whole.

    Args:
        models: a folder, or gs://bucket/prefix.
        name: of the directory below it; "" for all of it.
        target: directory to write.

    Raises:
        DaysError: there is no such directory.
    """
    with whole_directory(target) as directory:
        if not models.startswith(BUCKET_SCHEME):
            source = Path(models.removeprefix(FILE_SCHEME)) / name
            if not source.is_dir():
                raise DaysError(f"{source}: missing from what was handed over")
            link_tree(source, directory)
            return
        found = _blobs(models, name)
        if not found:
            raise DaysError(f"{models}/{name}: nothing lies there")
        for blob, path in found:
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(file, checksum="crc32c")


def _remove(models: str, name: str) -> None:
    if models.startswith(BUCKET_SCHEME):
        for blob, _ in _blobs(models, name):
            blob.delete()
    else:
        shutil.rmtree(Path(models.removeprefix(FILE_SCHEME)) / name, ignore_errors=True)


def _blobs(models: str, name: str) -> list[tuple[Any, str]]:
    """List the objects below a name, and their paths below it."""
    from google.cloud import storage

    bucket, _, prefix = models.removeprefix(BUCKET_SCHEME).partition("/")
    below = "".join(f"{part.strip('/')}/" for part in (prefix, name) if part.strip("/"))
    listed = storage.Client().list_blobs(bucket, prefix=below)
    return [(blob, blob.name.removeprefix(below)) for blob in listed]
