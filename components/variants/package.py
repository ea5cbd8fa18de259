"""A variant's package: one directory with all that a model server needs, and what it was made of.

It is what an InferenceService's `storageUri` points at. Every file is listed with its size and
digest in `variant.json`, so a server never serves a truncated or mixed-up model.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from components.config import Config
from components.files import digest, whole_directory
from components.variants.errors import VariantError

ABOUT, SETTINGS = "variant.json", "settings.json"
NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

Service = Literal["encoder", "suggestions", "ranker", "audience", "candidates"]


class File(Config):
    """A file of a package.

    Attributes:
        bytes: its size.
        digest: BLAKE2b of its content, 32 hexadecimal digits.
    """

    bytes: int
    digest: str


class About(Config):
    """What a package is and where it comes from.

    Attributes:
        format: of the package.
        service: what it answers.
        name: of the variant within its service; lower case, as Kubernetes names are.
        version: digest over files and parameters: equal for equal content.
        encoder: version of the encoder whose vectors it makes or reads; None when it reads none.
        encoder_kind: how vectors are made of actions; None when it makes none.
        dimension: of those vectors.
        dataset: store content it reads; None when it reads none.
        parameters: settings of the service that this variant differs in.
        files: by path within the package.
        lineage: what it was made from: run, recipe, seed, digests.
        metrics: as measured when it was trained.
    """

    format: Literal[1] = 1
    service: Service
    name: str = Field(pattern=NAME)
    version: str
    encoder: str | None = None
    encoder_kind: Literal["bert", "fasttext"] | None = None
    dimension: int | None = None
    dataset: str | None = None
    parameters: dict[str, Any] = {}
    files: dict[str, File]
    lineage: dict[str, Any] = {}
    metrics: dict[str, float | None] = {}

    @property
    def model(self) -> str:
        """Name of the variant's InferenceService and of the model it serves."""
        return f"{self.service}-{self.name}"


class Package(NamedTuple):
    """A package that was found whole.

    Attributes:
        path: its directory.
        about: what `variant.json` says.
    """

    path: Path
    about: About

    def settings(self) -> dict[str, Any]:
        """Return the settings that its parts were trained with, by section of the recipe."""
        return json.loads((self.path / SETTINGS).read_text())


def open_package(path: Path) -> Package:
    """Open a package and check every file of it.

    Raises:
        VariantError: a file is missing, damaged or not listed; names it.
    """
    about = read_about(path)
    for name, listed in about.files.items():
        _check(path / name, listed)
    unlisted = set(_files(path)) - set(about.files) - {ABOUT}
    if unlisted:
        raise VariantError(f"{path / min(unlisted)}: not a file of this package")
    return Package(path, about)


def read_about(path: Path) -> About:
    """Read what a package says of itself, without opening its files.

    Raises:
        VariantError: there is no package, or it says something impossible.
    """
    try:
        return About(**json.loads((path / ABOUT).read_text()))
    except FileNotFoundError:
        raise VariantError(f"{path}: no package: it has no {ABOUT}") from None
    except (OSError, ValueError, TypeError) as error:
        what = error.errors()[0] if isinstance(error, ValidationError) else error
        raise VariantError(f"{path / ABOUT}: damaged: {what}") from error


def write_package(
    target: Path,
    parts: Mapping[str, Path],
    *,
    service: Service,
    name: str,
    settings: Mapping[str, Any],
    **about: Any,
) -> Package:
    """Put a variant's parts into one directory, all or nothing.

    Files are linked where the file system allows it, and copied elsewhere.

    Args:
        target: directory to write.
        parts: file or directory of each part, by its path within the package.
        service: what the variant answers.
        name: of the variant.
        settings: sections of the recipe that serving needs.
        about: other attributes of `About`.

    Raises:
        VariantError: a part is missing, or an attribute is impossible; names it.
    """
    with whole_directory(target) as directory:
        for part, source in parts.items():
            _put(source, directory / part)
        (directory / SETTINGS).write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")
        files = {found: _measure(directory / found) for found in _files(directory)}
        try:
            described = About(service=service, name=name, version="", files=files, **about)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise VariantError(f"variant {service}-{name}: {field}: {first['msg']}") from error
        whole = described.model_copy(update={"version": _version(described)})
        (directory / ABOUT).write_text(whole.model_dump_json(indent=1) + "\n")
    return Package(target, whole)


def link_tree(source: Path, target: Path) -> None:
    """Copy a directory, by links where the file system allows them."""
    shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        link_tree(source, target)
    elif source.is_file():
        _link(source, target)
    else:
        raise VariantError(f"{source}: missing: it is part {target.name} of a variant")


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _files(path: Path) -> list[str]:
    return sorted(str(f.relative_to(path)) for f in path.rglob("*") if f.is_file())


def _measure(path: Path) -> File:
    return File(bytes=path.stat().st_size, digest=digest(path))


def _check(path: Path, listed: File) -> None:
    try:
        found = _measure(path)
    except OSError as error:
        raise VariantError(f"{path}: missing or unreadable: {error.strerror}") from error
    if found.bytes != listed.bytes:
        raise VariantError(f"{path}: damaged: {found.bytes} bytes, not {listed.bytes}")
    if found != listed:
        raise VariantError(f"{path}: damaged: not the content that was packaged")


def _version(about: About) -> str:
    told = about.model_dump(mode="json", exclude={"version", "lineage", "metrics"})
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).hexdigest()
